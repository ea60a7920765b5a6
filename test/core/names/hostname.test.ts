import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parseHostname } from '../../../src/core/names/hostname.ts'

const FIXED = { seed: 20210729, numRuns: 500 }
const label63 = 'a'.repeat(63)
const name253 = `${label63}.${label63}.${label63}.${'b'.repeat(61)}`

describe('parseHostname', () => {
  const accepted = [
    { text: 'pypi.org', name: 'pypi.org', because: 'it is canonical' },
    { text: 'PyPI.ORG', name: 'pypi.org', because: 'case does not count' },
    { text: 'example.com.', name: 'example.com', because: 'one trailing dot is the same name' },
    { text: 'EXAMPLE.com.', name: 'example.com', because: 'both at once' },
    { text: 'localhost', name: 'localhost', because: 'a single label is a name' },
    { text: '1password.com', name: '1password.com', because: 'a label may begin with a digit (Squid bug 5520)' },
    { text: '0x7f.example', name: '0x7f.example', because: 'only the last label makes a number' },
    { text: '127.0.0.1.example.com', name: '127.0.0.1.example.com', because: 'only the last label makes a number' },
    { text: 'a.0xg', name: 'a.0xg', because: '`g` is no hex digit' },
    { text: 'a.x7f', name: 'a.x7f', because: 'without `0` it is no hex number' },
    { text: 'a.7f', name: 'a.7f', because: 'hex digits without `0x` are no number' },
    { text: '_dmarc.example.com', name: '_dmarc.example.com', because: 'underscores occur in real names' },
    { text: 'xn--mnchen-3ya.example', name: 'xn--mnchen-3ya.example', because: 'A-labels are the ASCII form' },
    { text: 'a-b--c.example', name: 'a-b--c.example', because: 'hyphens inside a label are fine' },
    { text: `${label63}.example`, name: `${label63}.example`, because: '63 characters are the longest label' },
    { text: name253, name: name253, because: '253 characters are the longest name' },
    { text: `${name253}.`, name: name253, because: 'the trailing dot is not counted' },
  ]
  for (const { text, name, because } of accepted)
    it(`reads ${text.slice(0, 40)}: ${because}`, () => expect(parseHostname(text)).toEqual({ ok: true, value: name }))

  const refused = [
    { text: '', says: 'the host name is empty' },
    { text: '.', says: '`.` is not a host name' },
    { text: '..', says: '`..` has an empty label' },
    { text: 'h..com', says: '`h..com` has an empty label' },
    { text: '.example.com', says: '`.example.com` has an empty label' },
    { text: 'example.com..', says: '`example.com..` has an empty label' },
    { text: '-a.example', says: '`-a.example` has a label that begins or ends with `-`' },
    { text: 'a-.example', says: '`a-.example` has a label that begins or ends with `-`' },
    { text: 'example.-', says: '`example.-` has a label that begins or ends with `-`' },
    { text: `a${label63}.example`, says: 'has a label longer than 63 characters' },
    { text: `${name253}c`, says: 'is longer than 253 characters' },
    { text: 'münchen.example', says: '`m\\u00fcnchen.example` is not ASCII; use its A-label (`xn--`) form' },
    { text: '\u212aelvin.example', says: 'is not ASCII; use its A-label' },
    { text: '\u2460\u2461\u2466.\u24ea.\u24ea.\u2460', says: 'is not ASCII' },
    { text: '\uff11\uff12\uff17.0.0.1', says: 'is not ASCII' },
    { text: 'example\u3002com', says: 'is not ASCII' },
    { text: '127.0.0.1\0.example.com', says: '`127.0.0.1\\u0000.example.com` holds `\\u0000`, which no host name may' },
    { text: 'a\r\nb.example', says: '`a\\r\\nb.example` holds `\\r`, which no host name may' },
    { text: 'a\nb.example', says: 'holds `\\n`' },
    { text: 'a\u007fb', says: 'holds `\\u007f`' },
    { text: '%66oo', says: 'holds `%`, which no host name may; write the host without percent escapes or a zone id' },
    { text: '*.h', says: 'holds `*`, which no host name may; a single host is needed here, not a wildcard' },
    { text: 'h,x', says: 'holds `,`, which no host name may; give one host' },
    { text: 'h;x', says: 'holds `;`' },
    { text: 'h/p', says: 'holds `/`, which no host name may; give the host alone, without a scheme or path' },
    { text: 'h\\p', says: '`h\\\\p` holds `\\\\`, which no host name may' },
    { text: 'user@h', says: 'holds `@`' },
    { text: 'h:443', says: 'holds `:`, which no host name may; give the host without a port' },
    { text: '[example.com]', says: 'holds `[`' },
    { text: 'a b', says: 'holds ` `, which no host name may; remove the space' },
    { text: ' example.com', says: 'remove the space' },
    { text: 'a`b', says: '`a\\u0060b` holds `\\u0060`' },
    { text: '127.0.0.1', says: '`127.0.0.1` is an address, not a host name' },
    { text: '127.0.0.1.', says: '`127.0.0.1.` is an address with a trailing dot; use `127.0.0.1`' },
    { text: '2130706433', says: '`2130706433` ends in a number' },
    { text: '2130706433.', says: 'ends in a number' },
    { text: '0177.0.0.1', says: 'write an address as four decimal octets without leading zeros' },
    { text: '0x7f.1', says: 'ends in a number' },
    { text: '0X7F000001', says: 'ends in a number' },
    { text: 'a.0x', says: 'ends in a number' },
    { text: '127.1', says: 'ends in a number' },
    { text: '1.2.3.4.5', says: 'ends in a number' },
    { text: '256.1.1.1', says: 'ends in a number' },
    { text: 'example.09', says: 'ends in a number' },
    { text: 'example.123', says: 'ends in a number' },
  ]
  for (const { text, says } of refused)
    it(`refuses ${JSON.stringify(text.slice(0, 40))}: ${says}`, () => {
      const parsed = parseHostname(text)
      expect(parsed.ok ? parsed.value : parsed.error).toContain(says)
      expect(parsed.ok).toBe(false)
    })

  it('gives back the same text, not a copy, when it is canonical', () => {
    const parsed = parseHostname(name253)
    expect(parsed.ok && parsed.value === name253).toBe(true)
  })

  it('is idempotent, and what it accepts is ASCII, lower case and without a trailing dot', () => {
    const character = fc.constantFrom(...'abAB01x-_..%: é')
    const text = fc.oneof(fc.domain(), fc.string({ unit: character, maxLength: 24 }), fc.string({ unit: 'binary' }))
    fc.assert(
      fc.property(text, (typed) => {
        const first = parseHostname(typed)
        if (!first.ok) return
        expect(first.value).toMatch(/^[a-z0-9_-]+(?:\.[a-z0-9_-]+)*$/)
        expect(first.value.toUpperCase()).toBe(typed.replace(/\.$/, '').toUpperCase())
        expect(parseHostname(first.value)).toEqual(first)
      }),
      FIXED,
    )
  })

  it('agrees with the URL standard on which names end in a number', () => {
    const number = fc.constantFrom('0', '09', '127', '0x', '0x7f', '0xg', '7f', 'x7', 'a1', '1a')
    fc.assert(
      fc.property(fc.array(number, { minLength: 1, maxLength: 5 }), (labels) => {
        const text = labels.join('.')
        // The URL parser turns a name that ends in a number into an address or throws.
        const isName = URL.canParse(`http://${text}/`) && new URL(`http://${text}/`).hostname === text && !/^[\d.]+$/.test(text)
        expect(parseHostname(text).ok, text).toBe(isName)
      }),
      FIXED,
    )
  })

  it('never repeats more than 64 characters of the input, and only printable ASCII', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 400 }), (text) => {
        const parsed = parseHostname(text)
        if (parsed.ok) return
        expect(parsed.error).toMatch(/^[\x20-\x7e]+$/)
        expect(parsed.error.length).toBeLessThan(64 * 6 + 200)
      }),
      FIXED,
    )
    const long = parseHostname(`${'é'.repeat(64)}secret`)
    expect(!long.ok && long.error).not.toContain('secret')
  })
})
