/**
 * Takes speculation rules from pages of a browser that somebody else started, before the browser reads them.
 *
 * The browser would load the documents of such rules where Playwright does not look. `GovernedPage.launch` starts a
 * browser that ignores them; this is for the others. It does not reach the rules in a declarative shadow root.
 */

/**
 * Runs in every document, before the document's own scripts. The browser reads the rules of a script after the
 * microtasks that follow its insertion, so an observer is in time. What it uses is taken at once: a page can replace
 * the methods of its prototypes.
 */
export const withoutSpeculationRules = String.raw`(() => {
    const { call } = Function.prototype;
    const bound = (method) => call.bind(method);
    const find = bound(Element.prototype.querySelectorAll);
    const findIn = bound(DocumentFragment.prototype.querySelectorAll);
    const attribute = bound(Element.prototype.getAttribute);
    const disarm = bound(Element.prototype.setAttribute);
    const remove = bound(Element.prototype.remove);
    const kind = bound(Object.getOwnPropertyDescriptor(Node.prototype, "nodeType").get);
    const name = bound(Object.getOwnPropertyDescriptor(Element.prototype, "localName").get);
    const attach = Element.prototype.attachShadow;
    const observe = bound(MutationObserver.prototype.observe);
    const Observer = MutationObserver;
    const apply = Reflect.apply;
    const each = (list, act) => {
        for (let i = 0; i < list.length; i += 1) act(list[i]);
    };
    const check = (element) => {
        if (name(element) !== "script") return;
        const type = attribute(element, "type");
        if (type === null || type.trim().toLowerCase() !== "speculationrules") return;
        disarm(element, "type", "text/plain");
        remove(element);
    };
    const look = (node) => {
        if (kind(node) === 1) {
            check(node);
            each(find(node, "script"), check);
        } else if (kind(node) === 11) {
            each(findIn(node, "script"), check);
        }
    };
    const watch = (root) => {
        const observer = new Observer((records) => {
            each(records, (record) => {
                look(record.target);
                each(record.addedNodes, look);
            });
        });
        observe(observer, root, { childList: true, subtree: true, attributes: true, attributeFilter: ["type"] });
    };
    watch(document);
    Element.prototype.attachShadow = function attachShadow(options) {
        const root = apply(attach, this, [options]);
        watch(root);
        return root;
    };
})();`;
