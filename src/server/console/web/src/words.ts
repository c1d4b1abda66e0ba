/** The messages of the REST API that the console reads. `/docs` describes them. */

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
export type Risk = "LOW" | "MEDIUM" | "HIGH" | "CRITICAL";
export const RISKS: readonly Risk[] = ["CRITICAL", "HIGH", "MEDIUM", "LOW"];
export const OUTCOMES = ["ALLOW", "ESCALATE", "REQUIRE_CONFIRMATION", "DENY"] as const;

/** Where the daemon masked a value: of a text from `start` to `end` in characters, or the whole value. */
export interface Mask {
    path: string;
    pointer: string;
    start: number | null;
    end: number | null;
    length: number;
}

export interface Identity {
    subject: string;
    how: string;
    actor_id: string | null;
    groups: string[];
}

export interface Vote {
    vote_id: string;
    verdict: "approve" | "deny";
    by: Identity;
    voted_at: string;
    reason: string;
}

export interface Ending {
    kind: string;
    allows: boolean;
    by: string | null;
    ended_at: string;
    reason: string;
    code: string | null;
}

export interface SessionAction {
    decided_at: string;
    type: string;
    target: string;
    outcome: string;
    result_status: string | null;
}

export interface Approval {
    approval_id: string;
    decision_id: string;
    actor: { id: string; type: string };
    identity: Identity | null;
    action: { type: string; target: string; params: { [key: string]: Json }; description: string };
    masked: Mask[];
    context: { session_id: string; metadata: { [key: string]: Json } };
    action_digest: string;
    matched_rule: string;
    reason: string;
    risk_level: Risk;
    policy_revision: string;
    requested_at: string;
    expires_at: string;
    timeout_allows: boolean;
    state: string;
    votes: Vote[];
    version: number;
    caller_waiting: boolean | null;
    unrecorded?: boolean;
    ending: Ending | null;
    history?: SessionAction[];
}

/** A decision with its approval and its result. */
export interface Row {
    id: number;
    session_id: string;
    timestamp: string;
    action_type: string;
    action_target: string;
    action_params: { [key: string]: Json };
    action_desc: string;
    risk_level: Risk;
    approval: string;
    matched_rule: string;
    human_decision: string | null;
    result_status: string | null;
    result_data: Json;
    result_error: string | null;
    outcome: string;
    reason: string;
    decision_id: string;
    approval_id: string | null;
    decided_by: string | null;
    decided_at: string | null;
    decision_reason: string | null;
    actor_id: string;
    actor_type: string;
    identity: string | null;
    identity_how: string | null;
    policy_revision: string | null;
    action_digest: string | null;
    audit_ref: string;
    masked: Mask[];
    metadata: { [key: string]: Json };
    redacted: boolean;
}

export interface Rows {
    rows: Row[];
    next_page_token: string | null;
}

export interface RecordReference {
    sequence: number;
    audit_ref: string | null;
    kind: string | null;
    recorded_at: string | null;
}

export interface Life {
    row: Row;
    approval: Approval | null;
    records: RecordReference[];
}

export interface PolicyRule {
    name: string;
    match_type: string;
    match_target: string;
    match_actor: string | null;
    risk_level: Risk | null;
    approval: string | null;
    conditions: { [key: string]: Json };
}

export interface Policy {
    revision: string;
    loaded_at: string | null;
    comment: string;
    default_risk_level: Risk | null;
    default_approval: string | null;
    rules: PolicyRule[];
    layers: { name: string; yaml: string }[];
    policy: Json;
    warnings: string[];
}
