import eslint from "@eslint/js";
import { defineConfig } from "eslint/config";
import tseslint from "typescript-eslint";

export default defineConfig(
    { ignores: ["dist/", "docs/", "src/proto/", "tests/consumer/", "tests/readme/"] },
    eslint.configs.recommended,
    tseslint.configs.strictTypeChecked,
    tseslint.configs.stylisticTypeChecked,
    {
        languageOptions: {
            parserOptions: {
                projectService: { allowDefaultProject: ["*.mjs", "bench/*.mjs"] },
                tsconfigRootDir: import.meta.dirname,
            },
        },
        rules: {
            // A number in a message is what it says.
            "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true }],
            "@typescript-eslint/explicit-function-return-type": [
                "error",
                { allowExpressions: true, allowTypedFunctionExpressions: true },
            ],
            "@typescript-eslint/return-await": ["error", "in-try-catch"],
            "@typescript-eslint/consistent-type-imports": "error",
            "@typescript-eslint/no-confusing-void-expression": ["error", { ignoreArrowShorthand: true }],
            // Where an index is known to be in bounds, `as` says so: `!` is forbidden everywhere.
            "@typescript-eslint/non-nullable-type-assertion-style": "off",
            // Some functions are async so that what they throw is a rejection.
            "@typescript-eslint/require-await": "off",
            // Generics that carry the caller's type to the result.
            "@typescript-eslint/no-unnecessary-type-parameters": "off",
        },
    },
    {
        files: ["tests/**", "examples/**", "bench/**"],
        rules: { "@typescript-eslint/explicit-function-return-type": "off" },
    },
    {
        files: ["**/*.mjs"],
        extends: [tseslint.configs.disableTypeChecked],
        languageOptions: { globals: { console: "readonly", process: "readonly", URL: "readonly" } },
    },
);
