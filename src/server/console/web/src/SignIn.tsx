/** The page for who is not signed in. */
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { refused, why } from "./api";
import { Failure, Field } from "./parts";
import { signIn } from "./session";

export function SignIn(props: { failure: string | null }): JSX.Element {
    const [token, setToken] = useState("");
    const [failure, setFailure] = useState(props.failure);
    const submit = async (event: Event): Promise<void> => {
        event.preventDefault();
        try {
            await signIn(token);
        } catch (error) {
            refused.value = null;
            setFailure(
                error instanceof TypeError ? why(error) : error instanceof Error ? error.message : String(error),
            );
        }
    };
    return (
        <main class="sign-in">
            <img src="./icon.svg" alt="" width="48" height="48" />
            <h1>Aegis</h1>
            <form onSubmit={(event) => void submit(event)}>
                <Field label="Token">
                    <input
                        type="password"
                        autocomplete="off"
                        required
                        autofocus
                        value={token}
                        onInput={(event) => setToken(event.currentTarget.value)}
                    />
                </Field>
                <button type="submit" class="primary">
                    Sign in
                </button>
            </form>
            <Failure message={refused.value ?? failure} />
            <p class="note">
                On the daemon's machine, <code>aegis console</code> prints an address that signs you in. An admin makes
                a token with <code>aegis token create</code>. The token stays in this page's memory: a reload asks
                again.
            </p>
        </main>
    );
}
