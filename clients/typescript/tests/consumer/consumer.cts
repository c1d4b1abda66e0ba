/** A CommonJS project that uses the package as it is published. */
import { AegisClient, AegisError } from "aegis-sidecar";
import { governedFetch } from "aegis-sidecar/fetch";
import { startSidecar } from "aegis-sidecar/testing";

const client = new AegisClient({ endpoint: "http://127.0.0.1:1", apiKey: "", retries: 0 });
const fetch: typeof globalThis.fetch = governedFetch({ client });
void Promise.allSettled([fetch("http://127.0.0.1:1"), startSidecar({ binary: "/nowhere/aegis" })]).then((failures) => {
    for (const failure of failures) {
        const isOurs = failure.status === "rejected" && failure.reason instanceof AegisError;
        if (!isOurs) throw new Error(`not refused as it should be: ${JSON.stringify(failure)}`);
    }
    client.close();
});
