/** The policy in force: its rules in the order in which they are tried, and its text. */
import type { JSX } from "preact";
import { Moment, Risk } from "../parts";
import { Text } from "../Text";
import type { Policy } from "../words";

export function InForce(props: { policy: Policy }): JSX.Element {
    const { policy } = props;
    return (
        <section class="card">
            <h2>In force</h2>
            <dl class="pairs">
                <dt>Revision</dt>
                <dd>
                    <code class="hash">{policy.revision}</code>
                </dd>
                {policy.loaded_at && (
                    <>
                        <dt>Since</dt>
                        <dd>
                            <Moment at={policy.loaded_at} />
                        </dd>
                    </>
                )}
                {policy.comment && (
                    <>
                        <dt>Comment</dt>
                        <dd>
                            <Text text={policy.comment} />
                        </dd>
                    </>
                )}
            </dl>
            {policy.warnings.map((warning) => (
                <p key={warning} class="warning">
                    {warning}
                </p>
            ))}
            <div class="scroll" tabIndex={0} role="group" aria-label="The rules">
                <table class="stack">
                    <thead>
                        <tr>
                            <th>#</th>
                            <th>Rule</th>
                            <th>Type</th>
                            <th>Target</th>
                            <th>Conditions</th>
                            <th>Risk</th>
                            <th>Approval</th>
                        </tr>
                    </thead>
                    <tbody>
                        {policy.rules.map((rule, i) => (
                            <tr key={rule.name}>
                                <td data-label="#">{i + 1}</td>
                                <td data-label="Rule">{rule.name}</td>
                                <td data-label="Type">
                                    <code>{rule.match_type}</code>
                                </td>
                                <td data-label="Target">
                                    <code>{rule.match_target}</code>
                                </td>
                                <td data-label="Conditions">
                                    {Object.entries(rule.conditions).map(([name, condition]) => (
                                        <div key={name}>
                                            <code>
                                                {name}: {JSON.stringify(condition)}
                                            </code>
                                        </div>
                                    ))}
                                </td>
                                <td data-label="Risk">
                                    <Risk level={rule.risk_level ?? "medium"} />
                                </td>
                                <td data-label="Approval">{rule.approval ?? "approve"}</td>
                            </tr>
                        ))}
                        <tr>
                            <td data-label="#" />
                            <td data-label="Rule" class="muted">
                                no rule matches
                            </td>
                            <td data-label="Type" />
                            <td data-label="Target" />
                            <td data-label="Conditions" />
                            <td data-label="Risk">
                                <Risk level={policy.default_risk_level ?? "medium"} />
                            </td>
                            <td data-label="Approval">{policy.default_approval ?? "approve"}</td>
                        </tr>
                    </tbody>
                </table>
            </div>
            {policy.layers.map(({ name, yaml }) => (
                <details key={name}>
                    <summary>{name}</summary>
                    <pre tabIndex={0}>
                        {yaml.split("\n").map((line, i) => (
                            <div key={i}>
                                <Text text={line} />{" "}
                            </div>
                        ))}
                    </pre>
                </details>
            ))}
        </section>
    );
}
