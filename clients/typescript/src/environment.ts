/** What the environment says. */

/** A variable's value, without white space around it; `undefined` where it is not set or empty. */
export function variable(name: string): string | undefined {
    const value = process.env[name]?.trim();
    return value === "" ? undefined : value;
}
