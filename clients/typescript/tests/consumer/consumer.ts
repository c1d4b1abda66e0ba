/** A clean project that uses the package as it is published. `lint` type-checks and runs it; no daemon is needed. */
import { ActionDenied, AegisClient, AegisError, type Decision, governed, Runtime } from "aegis-sidecar";
import { governedFetch } from "aegis-sidecar/fetch";
import { PolicyService } from "aegis-sidecar/proto";
import { startSidecar } from "aegis-sidecar/testing";

const client = new AegisClient({ endpoint: "http://127.0.0.1:1", apiKey: "", retries: 0 });
const propose: (type: string) => Promise<Decision> = async (type) => client.propose({ action: { type } });
const add: (a: number, b: number) => Promise<number> = governed((a: number, b: number) => a + b, {
    type: "add",
    client,
});
const runtime: Runtime = new Runtime({ client, executor: ({ type }) => type });
const fetch: typeof globalThis.fetch = governedFetch({ client });

const failures = await Promise.allSettled([
    propose("read"),
    add(1, 2),
    runtime.runOne({ type: "read" }),
    fetch("http://127.0.0.1:1"),
    startSidecar({ binary: "/nowhere/aegis" }),
]);
for (const failure of failures) {
    const isOurs =
        failure.status === "rejected" &&
        failure.reason instanceof AegisError &&
        !(failure.reason instanceof ActionDenied);
    if (!isOurs) throw new Error(`not refused as it should be: ${JSON.stringify(failure)}`);
}
if (PolicyService.typeName !== "aegis.v1.PolicyService") throw new Error("the stubs are not there");
await runtime.close();
client.close();
