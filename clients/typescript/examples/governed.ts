/** Three lines of governance around a function that is there already. Start a daemon first: `aegis serve`. */
import { ActionDenied, AegisClient, AegisError, governed } from "aegis-sidecar";

await using client = new AegisClient({ actor: { id: "support-bot" } });
const readContact = governed((query: { id: number }) => `contact ${String(query.id)}`, {
    type: "read_contact",
    target: "crm",
    client,
});
const deleteContact = governed((query: { id: number }) => `gone: ${String(query.id)}`, {
    type: "delete_contact",
    target: "crm",
    client,
});

console.log(await readContact({ id: 7 }));
try {
    console.log(await deleteContact({ id: 7 }));
} catch (error) {
    if (error instanceof ActionDenied) console.log(`no: ${error.message}`);
    else if (error instanceof AegisError) console.log(`not run: ${error.message}`);
    else throw error;
}
