/** Everything about a question that a person must see to decide it: shown in full, never cut. */
import type { JSX } from "preact";
import { Countdown, Moment, Risk, State } from "../parts";
import { Text, Value } from "../Text";
import type { Approval } from "../words";

function Who(props: { question: Approval }): JSX.Element {
    const { actor, identity } = props.question;
    const isProved = identity !== null && identity.how !== "anonymous";
    return (
        <>
            <Text text={actor.id} />{" "}
            <span class="muted">
                (<Text text={actor.type} />, as it says of itself)
            </span>
            <br />
            {isProved ? "authenticated as " : "not authenticated: "}
            <Text text={identity?.subject ?? "unknown"} />
            {isProved && <span class="muted"> by {identity.how.replaceAll("_", " ")}</span>}
            {identity && identity.groups.length > 0 && (
                <span class="muted">
                    , groups <Text text={identity.groups.join(", ")} />
                </span>
            )}
        </>
    );
}

function waiting(question: Approval): string {
    if (question.caller_waiting === null) return "unknown";
    return question.caller_waiting
        ? "yes, the agent waits for the answer"
        : "nobody waits any more; an answer still counts";
}

/** What ended a question that nobody answered, by the code of its ending. */
const ENDED_BY: Readonly<Record<string, string>> = {
    POLICY_CHANGED: "the policy, which changed",
    LIMIT: "a limit of the policy",
    HALTED: "a halt",
};

/** How the question ended, for whoever still looks at it. */
export function EndingBanner(props: { question: Approval }): JSX.Element | null {
    const { ending, unrecorded } = props.question;
    if (ending === null) return null;
    const by = ending.by ?? ENDED_BY[ending.code ?? ""] ?? "time";
    return (
        <div class={`banner ${ending.allows ? "good" : "bad"}`} role="status">
            <strong>
                This question has ended: {ending.kind.toLowerCase()}
                {ending.kind.toLowerCase() === "expired" && ending.allows && " (and allowed, as the rule says)"}
            </strong>
            <div>
                by <Text text={by} />, <Moment at={ending.ended_at} />
                {ending.reason && (
                    <>
                        : <Text text={ending.reason} />
                    </>
                )}
            </div>
            {unrecorded && <div>The record does not have this yet. It is in force all the same.</div>}
        </div>
    );
}

export function Action(props: { question: Approval }): JSX.Element {
    const { question } = props;
    const { action, context, masked, ending } = question;
    // Records of earlier versions name masked parameters without their place.
    const unplaced = masked.filter(({ pointer }) => pointer === "");
    const hasMetadata = Object.keys(context.metadata).length > 0;
    return (
        <div class="action">
            <EndingBanner question={question} />
            <h2 class="what">
                <Text text={action.type} /> <span class="muted">on</span>{" "}
                {action.target === "" ? <span class="muted">no target</span> : <Text text={action.target} />}
            </h2>
            <p class="facts">
                <Risk level={question.risk_level} />
                {ending === null ? (
                    <span>
                        <Countdown until={question.expires_at} /> left
                        <span class="muted">, then {question.timeout_allows ? "allowed" : "denied"}</span>
                    </span>
                ) : (
                    <State word={ending.kind} />
                )}
            </p>
            <h3>Parameters</h3>
            <Value value={action.params} pointer="/params" masks={masked} />
            {unplaced.length > 0 && (
                <p class="note">
                    Masked: <Text text={unplaced.map((mask) => mask.path).join(", ")} />
                </p>
            )}
            {masked.length > 0 && <p class="note">Parts are masked. Nobody can read them here, you included.</p>}
            {action.description !== "" && (
                <>
                    <h3>
                        Description <span class="muted">(the agent's words)</span>
                    </h3>
                    <Text
                        text={action.description}
                        masks={masked.filter((it) => it.pointer === "/description")}
                        lines
                    />
                </>
            )}
            <h3>Why you are asked</h3>
            <p>
                Rule{" "}
                <code>
                    <Text text={question.matched_rule} />
                </code>
                {question.reason && (
                    <>
                        : <Text text={question.reason} />
                    </>
                )}
            </p>
            <h3>Who asks</h3>
            <p>
                <Who question={question} />
            </p>
            <dl class="pairs">
                <dt>Session</dt>
                <dd>
                    {context.session_id === "" ? <span class="muted">none</span> : <Text text={context.session_id} />}
                </dd>
                <dt>Waiting</dt>
                <dd>{waiting(question)}</dd>
                <dt>Asked</dt>
                <dd>
                    <Moment at={question.requested_at} /> (<Moment at={question.requested_at} ago />)
                </dd>
                <dt>Digest</dt>
                <dd>
                    <code class="hash">{question.action_digest}</code>
                </dd>
            </dl>
            {hasMetadata && (
                <>
                    <h3>Metadata</h3>
                    <Value value={context.metadata} pointer="/metadata" masks={masked} />
                </>
            )}
            {question.votes.length > 0 && (
                <>
                    <h3>Votes</h3>
                    <ul>
                        {question.votes.map((vote) => (
                            <li key={vote.vote_id}>
                                <State word={vote.verdict} /> by <Text text={vote.by.subject} />,{" "}
                                <Moment at={vote.voted_at} />
                                {vote.reason && (
                                    <>
                                        : <Text text={vote.reason} />
                                    </>
                                )}
                            </li>
                        ))}
                    </ul>
                </>
            )}
        </div>
    );
}
