import eslint from "@eslint/js";
import { defineConfig } from "eslint/config";
import tseslint from "typescript-eslint";

export default defineConfig(
    eslint.configs.recommended,
    tseslint.configs.strictTypeChecked,
    {
        languageOptions: {
            parserOptions: {
                projectService: { allowDefaultProject: ["*.mjs"] },
                tsconfigRootDir: import.meta.dirname,
            },
        },
        rules: {
            "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true }],
            "@typescript-eslint/explicit-function-return-type": [
                "error",
                { allowExpressions: true, allowTypedFunctionExpressions: true },
            ],
            "@typescript-eslint/consistent-type-imports": "error",
            "@typescript-eslint/no-confusing-void-expression": ["error", { ignoreArrowShorthand: true }],
            // Where an index is known to be in bounds, `as` says so: `!` is forbidden everywhere.
            "@typescript-eslint/non-nullable-type-assertion-style": "off",
            // The caller says what an answer of the daemon is.
            "@typescript-eslint/no-unnecessary-type-parameters": "off",
            // A computed value reads a signal to depend on it.
            "@typescript-eslint/no-unused-expressions": ["error", { allowShortCircuit: true, allowTernary: true }],
            // The library says that some parts of the browser are always there.
            "@typescript-eslint/no-unnecessary-condition": "off",
            // Text that an agent controls is searched for control characters.
            "no-control-regex": "off",
            "no-misleading-character-class": "off",
        },
    },
    {
        files: ["tests/**"],
        rules: { "@typescript-eslint/explicit-function-return-type": "off" },
    },
    { files: ["**/*.mjs"], extends: [tseslint.configs.disableTypeChecked] },
);
