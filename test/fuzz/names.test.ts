import fc from 'fast-check'
import { describe, expect } from 'vitest'
import { formatAuthority, parseAuthority } from '../../src/core/names/authority.ts'
import { parseHostname } from '../../src/core/names/hostname.ts'
import { parseHostPattern } from '../../src/core/policy/host-pattern.ts'
import { fuzz } from './fuzz-run.ts'

/** The rules for a name, as plainly as they can be written. */
function isPlainlyAName(text: string): boolean {
  const name = text.endsWith('.') ? text.slice(0, -1) : text
  if (name === '' || name.length > 253) return false
  const labels = name.split('.')
  if (!labels.every((label) => /^[a-zA-Z0-9_]([a-zA-Z0-9_-]{0,61}[a-zA-Z0-9_])?$/.test(label))) return false
  return !/^(?:[0-9]+|0[xX][0-9a-fA-F]*)$/.test(labels.at(-1) ?? '')
}

/** Text that is nearly a host: its own alphabet, what has broken other proxies, and any character at all. */
const piece = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom('a', 'Z', '0', '9', '-', '_', '.', '.', 'com', 'xn--', '0x7f', '127', 'x'.repeat(63)) },
  {
    weight: 2,
    arbitrary: fc.constantFrom(':', '[', ']', '%', '@', '/', ' ', '\0', '\r\n', '*', ',', '443', '0443', '::', '::ffff:'),
  },
  { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 3 }) },
)
const nearly = fc.array(piece, { maxLength: 10 }).map((pieces) => pieces.join(''))

/** A message that goes into logs and answers: printable, and no longer for a longer text. */
function expectTold(message: string): void {
  expect(message).toMatch(/^[\x20-\x7e]{1,300}$/)
}

describe('a host name', () => {
  fuzz(
    'is read exactly where the plain rules say it is one, into one form',
    fc.property(nearly, (text) => {
      const name = parseHostname(text)
      expect(name.ok, JSON.stringify(text)).toBe(isPlainlyAName(text))
      if (!name.ok) return expectTold(name.error)
      expect(name.value).toBe(text.toLowerCase().replace(/\.$/, ''))
      expect(parseHostname(name.value)).toEqual(name)
    }),
    { share: 0.2 },
  )
})

describe('an authority', () => {
  fuzz(
    'that can be read is written back as what reads the same, and what cannot be is refused in words',
    fc.property(
      nearly,
      fc.constantFrom('', ':443', ':80', ':', ':0', ':0443', ':65536', ':1e3'),
      fc.option(fc.constant(443), { nil: undefined }),
      (host, port, standard) => {
        const authority = parseAuthority(`${host}${port}`, standard)
        if (!authority.ok) return expectTold(authority.error)
        expect(authority.value.port).toBeGreaterThan(0)
        expect(authority.value.port).toBeLessThan(65_536)
        const written = formatAuthority(authority.value)
        expect(written).toMatch(/^[\x21-\x7e]+:[1-9][0-9]*$/)
        expect(parseAuthority(written)).toEqual(authority)
      },
    ),
    { share: 0.2 },
  )
})

describe('a host pattern', () => {
  fuzz(
    'is read or refused in words, never an exception',
    fc.property(fc.constantFrom('', '*', '*.', '*.*.'), nearly, (star, text) => {
      const pattern = parseHostPattern(`${star}${text}`)
      if (!pattern.ok) expectTold(pattern.error)
    }),
    { share: 0.1 },
  )
})
