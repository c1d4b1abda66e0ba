//! The paths of wrong fields, in the words of this API: the domain checks `action.type`, a request sent `action_type`.

use crate::domain::{CallError, ErrorCode, Violation};

/// The fields of an action in a flat request: what the domain calls them, and what the request does.
const FLAT: [(&str, &str); 7] = [
    ("action.type", "action_type"),
    ("action.target", "target"),
    ("action.params", "params"),
    ("action.description", "description"),
    ("context.session_id", "session_id"),
    ("context.metadata", "metadata"),
    ("actor", "actor"),
];
/// The fields of a nested proposal.
const NESTED: [(&str, &str); 2] = [("action.type", "action.capability"), ("action.params", "action.parameters")];

/// The error with the paths of a request with flat actions. `list` is where the list of them is, if there is one.
pub(super) fn of_actions(error: CallError, list: Option<&str>) -> CallError {
    renamed(error, |field| {
        let Some((index, rest)) = field.strip_prefix("items[").and_then(|field| field.split_once("].")) else {
            return of_flat(field);
        };
        let rest = of_flat(rest);
        match list {
            None => rest,
            Some(list) => format!("{list}[{index}].{rest}"),
        }
    })
}

/// The error with the paths of a proposal.
pub(super) fn of_proposal(error: CallError) -> CallError {
    renamed(error, |field| with_names(&NESTED, field))
}

/// The error with the paths of a new policy: there is one text.
pub(super) fn of_policy(error: CallError) -> CallError {
    renamed(error, |field| with_names(&[("layers.layers[0].yaml", "yaml")], field))
}

fn of_flat(field: &str) -> String {
    with_names(&FLAT, field)
}

fn with_names(names: &[(&str, &str)], field: &str) -> String {
    let found = names.iter().find_map(|(from, to)| {
        let rest = field.strip_prefix(from)?;
        (rest.is_empty() || rest.starts_with(['.', '['])).then(|| format!("{to}{rest}"))
    });
    found.unwrap_or_else(|| field.to_owned())
}

fn renamed(error: CallError, rename: impl Fn(&str) -> String) -> CallError {
    if error.violations.is_empty() {
        return error;
    }
    let name = |Violation { field, description }: Violation| Violation { field: rename(&field), description };
    let violations: Vec<_> = error.violations.into_iter().map(name).collect();
    match error.code {
        ErrorCode::InvalidRequest => CallError::invalid(violations),
        _ => CallError { violations, ..error },
    }
}

/// Both parts of a request, or what is wrong with either.
pub(super) fn both<A, B>(a: Result<A, CallError>, b: Result<B, CallError>) -> Result<(A, B), CallError> {
    match (a, b) {
        (Ok(a), Ok(b)) => Ok((a, b)),
        (Err(mut a), Err(b)) => {
            a.violations.extend(b.violations);
            Err(CallError::invalid(a.violations))
        }
        (Err(error), Ok(_)) | (Ok(_), Err(error)) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_field_is_called_as_the_request_called_it() {
        let error = |field: &str| CallError::invalid_field(field, "is wrong");
        for (field, list, name) in [
            ("items[0].action.type", None, "action_type"),
            ("items[3].action.params.a.b", Some("actions"), "actions[3].params.a.b"),
            ("items[3].actor.id", Some(""), "[3].actor.id"),
            ("items[1].action.types", None, "action.types"),
            ("context.session_id", None, "session_id"),
            ("wait", Some("actions"), "wait"),
        ] {
            assert_eq!(of_actions(error(field), list).violations[0].field, name);
        }
        assert_eq!(of_proposal(error("action.params.x")).message, "action.parameters.x: is wrong");
        let own = CallError::new(ErrorCode::OwnProposal, "no");
        assert_eq!(of_proposal(own.clone()), own);
    }
}
