/** The words of the API, as plain values. */
export type * from "./types/action.js";
export type * from "./types/approval.js";
export type * from "./types/audit.js";
export type * from "./types/decision.js";
