/** The names of a client's options. A misspelled one would be left out silently, so it is refused. */
import { AegisError } from "./errors.js";
import { kindOf } from "./values.js";

const invalid = (message: string): AegisError => new AegisError(message, { code: "INVALID_ARGUMENT" });

const NAMES = [
    "endpoint",
    "apiKey",
    "timeout",
    "retries",
    "retryDelay",
    "interceptors",
    "tlsCa",
    "tlsCert",
    "tlsKey",
    "actor",
    "context",
];
/** What other clients call these options. */
const ALIASES: Readonly<Record<string, string>> = {
    address: "endpoint",
    host: "endpoint",
    url: "endpoint",
    baseUrl: "endpoint",
    token: "apiKey",
    credential: "apiKey",
    api_key: "apiKey",
    timeoutMs: "timeout",
    maxRetries: "retries",
};

/** Refuses options that mean nothing: a misspelled one would be left out silently. */
export function checkNames(options: object): void {
    if (typeof (options as unknown) !== "object" || (options as unknown) === null) {
        throw invalid(`the options of a client must be an object, not ${kindOf(options)}`);
    }
    const strange = Object.keys(options).find((name) => !NAMES.includes(name));
    if (strange !== undefined) {
        const meant = ALIASES[strange];
        const instead = meant === undefined ? `these are: ${NAMES.join(", ")}` : `did you mean \`${meant}\`?`;
        throw invalid(`\`${strange}\` is no option of a client; ${instead}`);
    }
    for (const name of ["endpoint", "apiKey", "tlsCa", "tlsCert", "tlsKey"] as const) {
        const value: unknown = Reflect.get(options, name);
        if (value !== undefined && typeof value !== "string") {
            throw invalid(`\`${name}\` must be a string, not ${kindOf(value)}`);
        }
    }
}
