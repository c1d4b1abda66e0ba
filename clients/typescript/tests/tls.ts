/** Certificates for one test: an authority, a server's and a client's, signed by it. */
import "reflect-metadata";
import { generateKeyPairSync, randomBytes, webcrypto } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import * as x509 from "@peculiar/x509";

x509.cryptoProvider.set(webcrypto as never);

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };

/** Paths of PEM files. */
export interface Certificates {
    readonly ca: string;
    readonly server: { readonly cert: string; readonly key: string };
    readonly client: { readonly cert: string; readonly key: string };
}

/** Writes them to a directory. */
export async function certificates(directory: string): Promise<Certificates> {
    const authority = await webcrypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
    const [notBefore, notAfter] = [new Date(Date.now() - 60_000), new Date(Date.now() + 3_600_000)];
    const ca = await x509.X509CertificateGenerator.createSelfSigned({
        serialNumber: randomBytes(8).toString("hex"),
        name: "CN=test authority",
        notBefore,
        notAfter,
        signingAlgorithm: ALGORITHM,
        keys: authority,
        extensions: [
            new x509.BasicConstraintsExtension(true, 1, true),
            new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
        ],
    });
    const write = async (name: string, pem: string): Promise<string> => {
        const path = join(directory, name);
        await writeFile(path, pem);
        return path;
    };
    const issue = async (name: string, usage: x509.ExtendedKeyUsage): Promise<{ cert: string; key: string }> => {
        const pair = generateKeyPairSync("ec", { namedCurve: "P-256" });
        const spki = pair.publicKey.export({ type: "spki", format: "der" });
        const certificate = await x509.X509CertificateGenerator.create({
            serialNumber: randomBytes(8).toString("hex"),
            subject: `CN=${name}`,
            issuer: ca.subject,
            notBefore,
            notAfter,
            signingAlgorithm: ALGORITHM,
            publicKey: await webcrypto.subtle.importKey("spki", spki, ALGORITHM, true, ["verify"]),
            signingKey: authority.privateKey,
            extensions: [
                new x509.ExtendedKeyUsageExtension([usage]),
                new x509.SubjectAlternativeNameExtension([{ type: "ip", value: "127.0.0.1" }]),
            ],
        });
        const key = pair.privateKey.export({ type: "pkcs8", format: "pem" }) as string;
        return { cert: await write(`${name}.pem`, certificate.toString("pem")), key: await write(`${name}.key`, key) };
    };
    return {
        ca: await write("ca.pem", ca.toString("pem")),
        server: await issue("server", x509.ExtendedKeyUsage.serverAuth),
        client: await issue("ada", x509.ExtendedKeyUsage.clientAuth),
    };
}
