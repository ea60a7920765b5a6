/** How much of what somebody sent is repeated in a message, in UTF-16 code units: enough to recognise it, too little to flood a log. */
export const QUOTED_CHARACTERS_MAX = 64

const NAMED_ESCAPES: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t', '\\': '\\\\' }

/**
 * What the user typed, in backticks, for an error message.
 *
 * The answer is printable ASCII whatever came in: everything else (control characters, bidirectional marks, look-alike
 * digits, the backtick itself) becomes an escape, so a hostile name can neither forge a log line nor close the quotation.
 * Past `QUOTED_CHARACTERS_MAX` the text is cut and `...` shows it.
 */
export function quote(text: string): string {
  return quoteAtLength(text, QUOTED_CHARACTERS_MAX)
}

/** The same, cut after as many code units as the caller has room for. */
export function quoteAtLength(text: string, charactersMax: number): string {
  const escaped = text.slice(0, charactersMax).replace(/[^\x20-\x7e]|[`\\]/g, escapeCharacter)
  return text.length > charactersMax ? `\`${escaped}...\`` : `\`${escaped}\``
}

// Without the `u` flag the expression above matches code units, so a character is one unit and a lone surrogate is escaped too.
function escapeCharacter(character: string): string {
  return NAMED_ESCAPES[character] ?? `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
}
