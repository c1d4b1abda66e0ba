//! The time of a decision in process, as policies grow, compared with a linear scan of the same rules.
//!
//! The last rule matches. Every input nearly matches one earlier rule, and each input another one: a single repeated
//! input would hide costs that only varied inputs show. On a shared machine only ratios within one run count. So the
//! two sides take turns, and the table has the median of the rounds.
//!
//! `cargo bench --bench decision` prints the table, then divan's absolute figures; `-- NAME` selects among the latter.

use std::fmt::{self, Write as _};
use std::hint::black_box;
use std::time::{Duration, Instant};

use aegis::domain::{Action, Timestamp};
use aegis::policy::{Policy, Question, Rule, Source};
use serde_json::{Value, json};

const SIZES: [usize; 4] = [10, 100, 1_000, 10_000];
const INPUTS: u16 = 4096;
const ROUNDS: usize = 7;
/// The least time of one side in a round; never less than one pass over all inputs.
const TURN: Duration = Duration::from_millis(20);

/// The kind of globs in a policy.
#[derive(Clone, Copy, Debug)]
enum Shape {
    /// `read_*` on `crm/t00042/*`.
    Prefix,
    /// `*_read` on `*/t00042/*`.
    Star,
    /// These two, exact types, and any type on `*t00042*rows`.
    Mixed,
}

/// One policy and the questions for it.
#[derive(Clone, Copy, Debug)]
struct Case {
    shape: Shape,
    rules: usize,
    /// Whether every tenth rule has a condition. The inputs that nearly match such a rule fail the condition.
    conditions: bool,
}

const VERBS: [&str; 8] = ["read", "write", "send", "export", "update", "merge", "grant", "invite"];

impl Case {
    /// The globs of one rule.
    fn globs(self, rule: usize) -> (String, String) {
        let verb = VERBS[rule % VERBS.len()];
        match (self.shape, rule % 4) {
            (Shape::Prefix, _) | (Shape::Mixed, 0) => (format!("{verb}_*"), format!("crm/t{rule:05}/*")),
            (Shape::Star, _) | (Shape::Mixed, 1) => (format!("*_{verb}"), format!("*/t{rule:05}/*")),
            (Shape::Mixed, 2) => (format!("{verb}_{verb}"), format!("crm/t{rule:05}/*")),
            (Shape::Mixed, _) => (format!("*{verb}*"), format!("*t{rule:05}*rows")),
        }
    }

    fn has_condition(self, rule: usize) -> bool {
        self.conditions && rule % 10 == 9
    }

    fn yaml(self) -> String {
        let mut yaml = "rules:\n".to_owned();
        for rule in 0..self.rules - 1 {
            let (kind, target) = self.globs(rule);
            let conditions = if self.has_condition(rule) { ", conditions: {param_gt: {count: 1000}}" } else { "" };
            // Writing to a String cannot fail.
            let _ =
                writeln!(yaml, "  - {{match: {{type: '{kind}', target: '{target}'}}, approval: block{conditions}}}");
        }
        yaml + "  - {name: last, match: {target: '*rows'}, risk_level: low, approval: auto}\n"
    }

    fn policy(self) -> Policy {
        Policy::load(&[Source { name: "bench.yaml".into(), text: self.yaml() }]).expect("the policy is valid")
    }

    /// Actions that each nearly match a rule: by its target but not its type, or by its globs but not its condition.
    fn actions(self) -> Vec<Action> {
        let action = |input: usize| {
            // A step that has no common factor with any size visits all rules, in a scattered order.
            let near = (input * 7919) % (self.rules - 1).max(1);
            let verb = VERBS[near % VERBS.len()];
            let r#type = if self.has_condition(near) { format!("{verb}_{verb}") } else { format!("browse_{input}") };
            let params = json!({"count": input % 100, "note": format!("request {input}")});
            let Value::Object(params) = params else { unreachable!("it is an object") };
            Action { r#type, target: format!("crm/t{near:05}/{input}/rows"), params, description: String::new() }
        };
        (0..usize::from(INPUTS)).map(action).collect()
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let conditions = if self.conditions { " and conditions" } else { "" };
        write!(f, "{:?}{conditions}, {} rules", self.shape, self.rules)
    }
}

fn question(action: &Action) -> Question<'_> {
    let now = Timestamp::UNIX_EPOCH;
    Question { action, declared_actor: "agent-7", authenticated_actor: None, now, masked: &[] }
}

/// The obvious implementation: it tries each rule in turn. It has an advantage, because it has the one condition built
/// in.
fn linear_scan<'p>(rules: &'p [Rule], action: &Action) -> &'p str {
    let holds = |rule: &Rule| rule.conditions.is_empty() || action.params["count"].as_f64() > Some(1000.0);
    let matching = rules.iter().find(|rule| {
        rule.type_pattern.matches(&action.r#type) && rule.target_pattern.matches(&action.target) && holds(rule)
    });
    matching.map_or("<default>", |rule| &rule.name)
}

/// Nanoseconds for one call, measured over whole passes.
fn time<'p>(actions: &[Action], decide: impl Fn(&Action) -> &'p str) -> f64 {
    let (started, mut passes) = (Instant::now(), 0_u32);
    while passes == 0 || started.elapsed() < TURN {
        for action in actions {
            black_box(decide(action));
        }
        passes += 1;
    }
    started.elapsed().as_secs_f64() * 1e9 / (f64::from(passes) * f64::from(INPUTS))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The medians of both sides, which take turns.
fn compare(case: Case) -> (f64, f64) {
    let (policy, actions) = (case.policy(), case.actions());
    for action in &actions {
        assert_eq!(policy.evaluate(&question(action)).matched_rule, "last", "{action:?}");
        assert_eq!(linear_scan(policy.rules(), action), "last", "{action:?}");
    }
    let (mut ours, mut naive) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.push(time(&actions, |action| policy.evaluate(&question(action)).matched_rule));
        naive.push(time(&actions, |action| linear_scan(policy.rules(), action)));
    }
    (median(ours), median(naive))
}

fn table() {
    println!("one decision, the last rule matches, {INPUTS} varied inputs, median of {ROUNDS} rounds\n");
    println!("{:<28} {:>9} {:>10} {:>12} {:>15}", "", "ns", "naive ns", "naive/ours", "of 100 rules");
    for (shape, conditions) in
        [(Shape::Prefix, false), (Shape::Star, false), (Shape::Mixed, false), (Shape::Mixed, true)]
    {
        let mut at_hundred = f64::NAN;
        for rules in SIZES {
            let case = Case { shape, rules, conditions };
            let (ours, naive) = compare(case);
            if rules == 100 {
                at_hundred = ours;
            }
            let of_hundred = format!("{:.2}", ours / at_hundred).replace("NaN", "");
            println!("{:<32} {ours:>5.0} {naive:>10.0} {:>12.1} {of_hundred:>15}", case.to_string(), naive / ours);
            if rules == 10_000 && conditions {
                println!("  goal: <= 400 ns and <= 3.00 of 100 rules");
            }
        }
    }
    let largest = Case { shape: Shape::Mixed, rules: 10_000, conditions: true };
    let yaml = largest.yaml();
    let load = || {
        let started = Instant::now();
        drop(black_box(Policy::load(&[Source { name: "bench.yaml".into(), text: yaml.clone() }])));
        started.elapsed().as_secs_f64() * 1e3
    };
    println!("\nloading {largest} ({} KB): {:.0} ms\n", yaml.len() / 1024, median((0..3).map(|_| load()).collect()));
}

const CASES: [Case; 2] = [
    Case { shape: Shape::Mixed, rules: 100, conditions: true },
    Case { shape: Shape::Mixed, rules: 10_000, conditions: true },
];

#[divan::bench(args = CASES, sample_size = 1000)]
fn decide(bencher: divan::Bencher<'_, '_>, case: Case) {
    let (policy, actions) = (case.policy(), case.actions());
    let mut next = actions.iter().cycle();
    bencher
        .with_inputs(|| next.next().expect("a cycle has no end"))
        .bench_local_values(|action| policy.evaluate(&question(action)).approval);
}

#[divan::bench(args = CASES, sample_count = 5, sample_size = 1)]
fn load(bencher: divan::Bencher<'_, '_>, case: Case) {
    bencher.bench_local(|| case.policy());
}

fn main() {
    table();
    divan::main();
}
