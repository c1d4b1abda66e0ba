import { describe, expect, it } from "vitest";
import { EventReader } from "../src/events";

describe("server-sent events", () => {
    it("are read however the bytes arrive", () => {
        const stream = 'event: pending\ndata: {"a":1}\nid: x1\n\n:\n\nevent: ended\r\ndata: a\r\ndata: b\r\n\r\n';
        for (const size of [1, 2, 3, 7, stream.length]) {
            const reader = new EventReader();
            const found = [];
            for (let i = 0; i < stream.length; i += size) found.push(...reader.read(stream.slice(i, i + size)));
            expect(found, `in pieces of ${size}`).toEqual([
                { name: "pending", data: '{"a":1}' },
                { name: "ended", data: "a\nb" },
            ]);
            expect(reader.lastId).toBe("x1");
        }
    });

    it("that broke off are forgotten, and the place in the log is kept", () => {
        const reader = new EventReader();
        reader.read("event: a\ndata: 1\nid: 7\n\nevent: b\ndata: 2");
        reader.reset();
        expect(reader.read("event: c\ndata: 3\n\n")).toEqual([{ name: "c", data: "3" }]);
        expect(reader.lastId).toBe("7");
    });
});
