/** Text that an agent controls, made safe to show to a person. */

/** Line breaks, terminal controls, and what changes the direction of text or takes no room. */
const HIDDEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\p{Co}\p{Cn}]/gu;

/**
 * The same text with control, bidirectional and invisible characters written out, for example `\u{202e}`: what a person
 * reads is what is there, on one line.
 */
export function visible(text: string): string {
    const escaped = (character: string): string => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`;
    return text.toWellFormed().replace(HIDDEN, escaped);
}
