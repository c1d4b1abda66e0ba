/** Says that what `tsconfig.cjs.json` builds is CommonJS: the package around it is ESM. */
import { writeFileSync } from "node:fs";

writeFileSync(new URL("dist/cjs/package.json", import.meta.url), '{ "type": "commonjs" }\n');
