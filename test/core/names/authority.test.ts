import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { formatAuthority, formatHost, parseAuthority, parseHost, parsePort } from '../../../src/core/names/authority.ts'

const FIXED = { seed: 20210729, numRuns: 500 }

describe('parseHost', () => {
  const accepted = [
    { text: 'example.com', kind: 'name', canonical: 'example.com', formatted: 'example.com' },
    { text: 'EXAMPLE.com.', kind: 'name', canonical: 'example.com', formatted: 'example.com' },
    { text: '1password.com', kind: 'name', canonical: '1password.com', formatted: '1password.com' },
    { text: 'add.bad.cafe', kind: 'name', canonical: 'add.bad.cafe', formatted: 'add.bad.cafe' },
    { text: '10.1.2.3', kind: 'address', canonical: '10.1.2.3', formatted: '10.1.2.3' },
    { text: '[2001:DB8::1]', kind: 'address', canonical: '2001:db8::1', formatted: '[2001:db8::1]' },
    { text: '[::ffff:7f00:1]', kind: 'address', canonical: '::ffff:127.0.0.1', formatted: '[::ffff:127.0.0.1]' },
  ]
  for (const { text, kind, canonical, formatted } of accepted)
    it(`reads ${text} as the ${kind} ${canonical}`, () => {
      const parsed = parseHost(text)
      if (!parsed.ok) throw new Error(parsed.error)
      expect(parsed.value).toMatchObject({ kind, text: canonical })
      expect(formatHost(parsed.value)).toBe(formatted)
    })

  const refused = [
    { text: '[example.com]', says: '`[example.com]` has brackets round something other than an IPv6 address; use `example.com`' },
    { text: '[127.0.0.1]', says: 'use `127.0.0.1`' },
    { text: '[[::1]]', says: 'has brackets round something other than an IPv6 address' },
    { text: '[]', says: 'has brackets round something other than an IPv6 address' },
    { text: '[', says: '`[` has no `]` at its end' },
    { text: '[::1', says: 'has no `]` at its end' },
    { text: '[::1]x', says: 'has no `]` at its end' },
    { text: '::1]', says: 'holds `:`' },
    { text: '[fe80::1%eth0]', says: 'has a zone id; write the address without it' },
    { text: '[fe80::1%25eth0]', says: 'has a zone id' },
    { text: '[v1.fe80]', says: 'has brackets round something other than an IPv6 address' },
    { text: '::1', says: 'the IPv6 address `::1` needs brackets; use `[::1]`' },
    { text: '2130706433', says: 'ends in a number' },
    { text: '0177.0.0.1', says: 'ends in a number' },
    { text: '0x7f.1', says: 'ends in a number' },
    { text: '127.1', says: 'ends in a number' },
    { text: '127.0.0.1.', says: 'use `127.0.0.1`' },
    { text: '127.0.0.1\0.example.com', says: 'holds `\\u0000`' },
    { text: '\u2460\u2461\u2466.\u24ea.\u24ea.\u2460', says: 'is not ASCII' },
    { text: '', says: 'the host name is empty' },
  ]
  for (const { text, says } of refused)
    it(`refuses ${JSON.stringify(text)}: ${says}`, () => {
      const parsed = parseHost(text)
      expect(parsed.ok ? parsed.value : parsed.error).toContain(says)
    })

  it('is not brought down by brackets in brackets', () => {
    const depth = 100_000
    expect(parseHost('['.repeat(depth) + ']'.repeat(depth)).ok).toBe(false)
  })
})

describe('parseAuthority', () => {
  const accepted = [
    { text: 'pypi.org:443', canonical: 'pypi.org:443' },
    { text: 'PyPI.org.:443', canonical: 'pypi.org:443' },
    { text: '1password.com:443', canonical: '1password.com:443' },
    { text: 'h:1', canonical: 'h:1' },
    { text: 'h:65535', canonical: 'h:65535' },
    { text: '10.1.2.3:8443', canonical: '10.1.2.3:8443' },
    { text: '[2001:DB8:0:0::1]:443', canonical: '[2001:db8::1]:443' },
    { text: '[::ffff:127.0.0.1]:443', canonical: '[::ffff:127.0.0.1]:443' },
  ]
  for (const { text, canonical } of accepted)
    it(`reads ${text} as ${canonical}`, () => {
      const parsed = parseAuthority(text)
      if (!parsed.ok) throw new Error(parsed.error)
      expect(formatAuthority(parsed.value)).toBe(canonical)
    })

  const refused = [
    { text: '', says: 'the authority is empty; use `host:port`' },
    { text: 'user@h:443', says: '`user@h` holds `@`' },
    { text: 'user:secret@h:443', says: 'has more than one `:`' },
    { text: 'h:443/p', says: '`443/p` is not a port' },
    { text: 'http://h:443', says: 'has more than one `:`; use `host:port` without a scheme' },
    { text: 'https://h', says: '`//h` is not a port' },
    { text: 'h', says: '`h` has no port; use `host:port`' },
    { text: 'h:', says: 'the port is missing' },
    { text: ':443', says: 'the host name is empty' },
    { text: ':', says: 'the host name is empty' },
    { text: 'HTTP/1.1', says: '`HTTP/1.1` holds `/`' },
    { text: 'h,x:443', says: '`h,x` holds `,`' },
    { text: 'h:443,x:443', says: 'has more than one `:`' },
    { text: 'h;x:443', says: '`h;x` holds `;`' },
    { text: '%66oo:443', says: '`%66oo` holds `%`' },
    { text: 'h%00:443', says: 'holds `%`' },
    { text: 'h\0:443', says: 'holds `\\u0000`' },
    { text: 'h\r\n:443', says: 'holds `\\r`' },
    { text: '*.h:443', says: '`*.h` holds `*`' },
    { text: 'h..com:443', says: '`h..com` has an empty label' },
    { text: 'h:0', says: '`0` is not a port; use a number from 1 to 65535, without leading zeros' },
    { text: 'h:0443', says: '`0443` is not a port' },
    { text: 'h:+443', says: '`+443` is not a port' },
    { text: 'h:-1', says: '`-1` is not a port' },
    { text: 'h:99999', says: '`99999` is not a port' },
    { text: 'h:65536', says: '`65536` is not a port' },
    { text: 'h:4 43', says: '`4 43` is not a port' },
    { text: 'h:443 ', says: '`443 ` is not a port' },
    { text: 'h:443\n', says: '`443\\n` is not a port' },
    { text: 'h:0x1bb', says: '`0x1bb` is not a port' },
    { text: 'h:4e2', says: '`4e2` is not a port' },
    { text: 'h:\uff14\uff14\uff13', says: '`\\uff14\\uff14\\uff13` is not a port' },
    { text: 'h:https', says: '`https` is not a port' },
    { text: 'h :443', says: 'holds ` `' },
    { text: '::1:443', says: 'the IPv6 address `::1:443` needs brackets and a port; use `[::1:443]:port`' },
    { text: '1:2:3:4:5:6:7:8:443', says: 'has more than one `:`; use `host:port`, with brackets round an IPv6 address' },
    { text: '[::1]443', says: 'has no `]` at its end' },
    { text: '[::1:443', says: 'has no `]` at its end' },
    { text: '[::1]:443:443', says: 'has more than one `:`' },
    { text: '[::1]', says: 'has no port' },
    { text: '[example.com]:443', says: 'use `example.com`' },
    { text: '[fe80::1%25eth0]:443', says: 'has a zone id' },
    { text: '2130706433:443', says: 'ends in a number' },
    { text: '0177.0.0.1:443', says: 'ends in a number' },
    { text: '127.1:443', says: 'ends in a number' },
  ]
  for (const { text, says } of refused)
    it(`refuses ${JSON.stringify(text)}: ${says}`, () => {
      const parsed = parseAuthority(text)
      expect(parsed.ok ? parsed.value : parsed.error).toContain(says)
      const withDefault = parseAuthority(text, 443)
      if (!says.includes('has no port')) expect(withDefault.ok, 'a default port mends nothing but its absence').toBe(false)
    })

  const defaulted = [
    { text: 'example.com', canonical: 'example.com:80' },
    { text: 'example.com:8080', canonical: 'example.com:8080' },
    { text: '[::1]', canonical: '[::1]:80' },
    { text: '10.1.2.3', canonical: '10.1.2.3:80' },
  ]
  for (const { text, canonical } of defaulted)
    it(`reads ${text} as ${canonical} where 80 is the default`, () => {
      const parsed = parseAuthority(text, 80)
      expect(parsed.ok && formatAuthority(parsed.value)).toBe(canonical)
    })

  it('gives back every authority from its text', () => {
    const host = fc.oneof(
      fc.domain(),
      fc.ipV4(),
      fc.ipV6().map((text) => `[${text}]`),
    )
    fc.assert(
      fc.property(host, fc.integer({ min: 1, max: 65535 }), (text, port) => {
        const parsed = parseAuthority(`${text}:${port}`)
        if (!parsed.ok) throw new Error(parsed.error)
        expect(parsed.value.port).toBe(port)
        expect(parseAuthority(formatAuthority(parsed.value))).toEqual(parsed)
      }),
      FIXED,
    )
  })

  it('answers any text with a canonical authority or a bounded, printable sentence', () => {
    const pieces = fc.constantFrom(
      'h',
      '.',
      ':',
      '[',
      ']',
      '443',
      '::1',
      '%',
      '@',
      '/',
      'é',
      '\0',
      '\n',
      '10.0.0.1',
      '0',
      'x'.repeat(70),
    )
    const text = fc.oneof(fc.string({ unit: pieces, maxLength: 10 }), fc.string({ unit: 'binary', maxLength: 200 }))
    fc.assert(
      fc.property(text, (typed) => {
        const parsed = parseAuthority(typed, 443)
        if (parsed.ok) expect(parseAuthority(formatAuthority(parsed.value))).toEqual(parsed)
        else {
          expect(parsed.error).toMatch(/^[\x20-\x7e]+$/)
          expect(parsed.error).not.toContain('x'.repeat(65))
        }
      }),
      { ...FIXED, numRuns: 2000 },
    )
  })

  it('cut anywhere is refused or is shorter in the port, never a fault', () => {
    for (const text of ['example.com:443', '[2001:db8::1]:443', '10.1.2.3:443'])
      for (let cut = 0; cut < text.length; cut++) {
        const part = text.slice(0, cut)
        expect(parseAuthority(part).ok, `cut at ${cut}`).toBe(
          /[^:]:4+$/.test(part) && !part.startsWith('[') ? true : part.includes(']:4'),
        )
      }
  })
})

describe('parsePort', () => {
  it('reads exactly the numbers from 1 to 65535', () => {
    for (const port of [1, 80, 443, 9999, 10000, 65535]) expect(parsePort(String(port))).toEqual({ ok: true, value: port })
    for (const text of ['0', '65536', '100000', '01', '', ' 1', '1.0', '1e3']) expect(parsePort(text).ok, text).toBe(false)
  })
})
