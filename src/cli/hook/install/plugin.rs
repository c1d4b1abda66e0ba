//! The plugin of opencode, which has no hooks: it runs `aegis hook opencode` for each call, and throws unless the
//! answer is `allow`.

use serde_json::json;

/// The first words of a plugin that this program wrote.
pub(super) const MARK: &str = "// Written by `aegis hook install opencode`";

/// The plugin: it runs these words and waits at most this long.
pub(super) fn text(words: &[String], seconds: u64) -> String {
    let words = json!(words);
    let limit = seconds * 1_000;
    format!(
        "{MARK}; `aegis hook uninstall opencode` removes it.\n{}",
        BODY.replace("$WORDS", &words.to_string()).replace("$LIMIT", &limit.to_string())
    )
}

const BODY: &str = r#"import { spawn } from "node:child_process";

const [program, ...words] = $WORDS;
const limit = $LIMIT;

// Resolves to the hook's answer. Every fault rejects, so that the tool does not run.
function ask(message) {
  return new Promise((resolve, reject) => {
    const child = spawn(program, words, { stdio: ["pipe", "pipe", "pipe"] });
    const timer = setTimeout(() => {
      child.kill("SIGKILL");
      reject(new Error("Aegis did not answer in time, so the tool must not run."));
    }, limit);
    let out = "";
    let err = "";
    child.stdout.on("data", (data) => (out += data));
    child.stderr.on("data", (data) => (err += data));
    child.stdin.on("error", () => {});
    child.on("error", (error) => {
      clearTimeout(timer);
      reject(new Error(`Aegis cannot be asked, so the tool must not run: ${error.message}`));
    });
    child.on("close", (code) => {
      clearTimeout(timer);
      if (code !== 0) {
        return reject(new Error(err.trim() || `Aegis failed with code ${code}, so the tool must not run.`));
      }
      try {
        resolve(JSON.parse(out));
      } catch {
        reject(new Error("Aegis gave no answer, so the tool must not run."));
      }
    });
    child.stdin.end(JSON.stringify(message));
  });
}

export const Aegis = async ({ directory }) => ({
  "tool.execute.before": async (input, output) => {
    const answer = await ask({ ...input, event: "tool.execute.before", args: output.args, directory });
    if (answer.decision !== "allow") throw new Error(answer.reason ?? "Aegis denied the call.");
  },
  "tool.execute.after": async (input) => {
    await ask({ ...input, event: "tool.execute.after", directory }).catch(() => {});
  },
});
"#;
