import { describe, expect, it } from 'vitest'
import { QUOTED_CHARACTERS_MAX, quote } from '../../../src/core/names/quote.ts'

describe('quote', () => {
  const cases = [
    { text: 'pypi.org', shown: '`pypi.org`', because: 'it is plain' },
    { text: '', shown: '``', because: 'there is nothing to show' },
    { text: 'a`b', shown: '`a\\u0060b`', because: 'a backtick must not close the quotation' },
    { text: 'a\\nb', shown: '`a\\\\nb`', because: 'an escape that was typed must not look like ours' },
    { text: 'a\r\n\tb', shown: '`a\\r\\n\\tb`', because: 'a line must not be forged' },
    { text: '\u001b[31m', shown: '`\\u001b[31m`', because: 'a terminal must not be steered' },
    { text: 'a\u0085\u202eb', shown: '`a\\u0085\\u202eb`', because: 'C1 and bidirectional marks hide things' },
    { text: '😀\ud800', shown: '`\\ud83d\\ude00\\ud800`', because: 'lone surrogates cannot be encoded' },
    { text: 'x'.repeat(64), shown: `\`${'x'.repeat(64)}\``, because: 'it just fits' },
    { text: 'x'.repeat(65), shown: `\`${'x'.repeat(64)}...\``, because: 'the rest is cut' },
  ]
  for (const { text, shown, because } of cases)
    it(`shows ${shown.slice(0, 30)}: ${because}`, () => expect(quote(text)).toBe(shown))

  it('stays short for any input', () => expect(quote('\0'.repeat(100_000)).length).toBe(QUOTED_CHARACTERS_MAX * 6 + 5))
})
