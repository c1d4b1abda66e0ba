/** What this session and this actor did before. */
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { get } from "../api";
import { Moment, State } from "../parts";
import { may } from "../session";
import { Text } from "../Text";
import type { Approval, Policy, PolicyRule, Rows, SessionAction } from "../words";
import { historyOfActor } from "./state";

function Actions(props: { actions: readonly SessionAction[]; none: string }): JSX.Element {
    if (props.actions.length === 0) return <p class="muted">{props.none}</p>;
    return (
        <ul class="history">
            {props.actions.map((action, i) => (
                <li key={i}>
                    <Moment at={action.decided_at} ago /> <State word={action.outcome} />{" "}
                    {action.result_status && <State word={action.result_status} />} <Text text={action.type} />{" "}
                    <span class="muted">on</span> <Text text={action.target} />
                </li>
            ))}
        </ul>
    );
}

/** What an actor did, where the person may read the record. */
function OfActor(props: { question: Approval }): JSX.Element | null {
    const { actor, decision_id } = props.question;
    const [actions, setActions] = useState<SessionAction[] | null>(null);
    useEffect(() => {
        const abort = new AbortController();
        get<Rows>(historyOfActor(actor.id), abort.signal)
            .then(({ rows }) => {
                const others = rows.filter((row) => row.decision_id !== decision_id);
                setActions(
                    others.map((row) => ({
                        decided_at: row.timestamp,
                        type: row.action_type,
                        target: row.action_target,
                        outcome: row.outcome,
                        result_status: row.result_status,
                    })),
                );
            })
            .catch(() => undefined);
        return () => abort.abort();
    }, [actor.id, decision_id]);
    if (actions === null) return null;
    return (
        <>
            <h3>What this actor did before</h3>
            <Actions actions={actions} none="Nothing is on the record." />
        </>
    );
}

/** The text of the rule, where the person may read the policy. */
function Rule(props: { question: Approval }): JSX.Element | null {
    const { policy_revision, matched_rule } = props.question;
    const [rule, setRule] = useState<PolicyRule | null>(null);
    useEffect(() => {
        const abort = new AbortController();
        setRule(null);
        get<Policy>(`/api/v1/policy?revision=${policy_revision}`, abort.signal)
            .then(({ rules }) => setRule(rules.find(({ name }) => name === matched_rule) ?? null))
            .catch(() => undefined);
        return () => abort.abort();
    }, [policy_revision, matched_rule]);
    if (rule === null) return null;
    return (
        <>
            <h3>What the rule says</h3>
            <dl class="pairs">
                <dt>Type</dt>
                <dd>
                    <code>{rule.match_type}</code>
                </dd>
                <dt>Target</dt>
                <dd>
                    <code>{rule.match_target}</code>
                </dd>
                {rule.match_actor !== null && (
                    <>
                        <dt>Actor</dt>
                        <dd>
                            <code>{rule.match_actor}</code>
                        </dd>
                    </>
                )}
                {Object.entries(rule.conditions).map(([name, condition]) => (
                    <>
                        <dt key={name}>
                            <code>{name}</code>
                        </dt>
                        <dd>
                            <code>{JSON.stringify(condition)}</code>
                        </dd>
                    </>
                ))}
            </dl>
        </>
    );
}

export function History(props: { question: Approval }): JSX.Element {
    const { question } = props;
    return (
        <>
            {may.value.readPolicy && <Rule question={question} />}
            <h3>What this session did before</h3>
            {question.history ? (
                <Actions actions={question.history} none="This is its first action." />
            ) : question.context.session_id === "" ? (
                <p class="muted">The action belongs to no session.</p>
            ) : (
                <Actions actions={[]} none="This is its first action." />
            )}
            {may.value.audit && <OfActor question={question} />}
            {may.value.audit && (
                <p>
                    <a href={`#/decision/${question.decision_id}`}>The whole record of this decision</a>
                </p>
            )}
        </>
    );
}
