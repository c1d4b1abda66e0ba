/** A plan: actions in order, and what the policy would answer to each as things are. */
import { checkedAction } from "./action.js";
import type { Action, ApprovalMode, Evaluation, RiskLevel } from "./types.js";
import { visible } from "./visible.js";

/** One step of a plan. */
export interface PlanStep {
    /** What will be proposed. */
    readonly action: Action;
    /** What the policy would answer now. When the plan is executed the daemon is asked anew. */
    readonly evaluation: Evaluation;
}

/** Actions in order, and what the policy would answer to each. Made by `Runtime.plan`; nothing is recorded yet. */
export class ExecutionPlan implements Iterable<PlanStep> {
    /** The steps, in order. */
    readonly steps: readonly PlanStep[];

    /** A plan of these steps. */
    constructor(steps: readonly PlanStep[]) {
        this.steps = Object.freeze(
            steps.map(({ action, evaluation }) => Object.freeze({ action: checkedAction(action), evaluation })),
        );
    }

    /** How many steps there are. */
    get length(): number {
        return this.steps.length;
    }

    /** Whether the policy would block one of them. */
    get hasBlocked(): boolean {
        return this.steps.some(({ evaluation }) => evaluation.approvalMode === "block");
    }

    /** Whether a reviewer would have to decide one of them. */
    get requiresApproval(): boolean {
        return this.steps.some(({ evaluation }) => evaluation.approvalMode === "approve");
    }

    /** Whether all of them would run at once. So would none: it is true of an empty plan. */
    get autoOnly(): boolean {
        return this.steps.every(({ evaluation }) => evaluation.approvalMode === "auto");
    }

    /** The plan without the steps that are not like this. */
    filter(
        wanted: {
            readonly approvalMode?: ApprovalMode;
            readonly riskLevel?: RiskLevel;
            readonly allowedOnly?: boolean;
        } = {},
    ): ExecutionPlan {
        const { approvalMode, riskLevel, allowedOnly = false } = wanted;
        const keeps = ({ evaluation }: PlanStep): boolean =>
            (approvalMode === undefined || evaluation.approvalMode === approvalMode) &&
            (riskLevel === undefined || evaluation.riskLevel === riskLevel) &&
            (!allowedOnly || evaluation.approvalMode !== "block");
        return new ExecutionPlan(this.steps.filter(keeps));
    }

    /** One line per step, for people. */
    summary(): string {
        const line = ({ action, evaluation }: PlanStep, i: number): string => {
            const target = action.target === "" ? "" : ` -> ${visible(action.target)}`;
            const description = action.description === "" ? "" : ` - ${visible(action.description)}`;
            const approval = evaluation.approvalMode.toUpperCase().padStart(7);
            const risk = evaluation.riskLevel.toUpperCase();
            const why = `(risk=${risk}, rule=${visible(evaluation.matchedRule)})`;
            return `${String(i + 1).padStart(3)}. [${approval}] ${visible(action.type)}${target}${description}  ${why}`;
        };
        return this.steps.map(line).join("\n");
    }

    /** The steps, for `JSON.stringify`. */
    toJSON(): readonly PlanStep[] {
        return this.steps;
    }

    /** The steps, in order. */
    [Symbol.iterator](): Iterator<PlanStep> {
        return this.steps[Symbol.iterator]();
    }
}
