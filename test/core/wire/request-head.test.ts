import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { formatAuthority } from '../../../src/core/names/authority.ts'
import {
  checkHead,
  fieldValue,
  type HeadLimits,
  pathOf,
  type RequestHead,
  readTarget,
} from '../../../src/core/wire/request-head.ts'

const LIMITS: HeadLimits = { targetBytes: 8192, headBytes: 16_384, headFields: 200 }

function checked(head: Partial<RequestHead>): string {
  const result = checkHead({ method: 'GET', target: '/', httpVersion: '1.1', rawHeaders: ['Host', 'h'], ...head }, LIMITS)
  if (!result.ok) return `${result.error.reason}: ${result.error.detail}`
  return result.value.kind === 'length' ? `length ${result.value.bytes}` : result.value.kind
}

const withFields = (...fields: readonly string[]) => checked({ method: 'POST', rawHeaders: ['Host', 'h', ...fields] })

describe('the framing of a body', () => {
  const CASES: readonly (readonly [fields: readonly string[], expected: string, because: string])[] = [
    [[], 'none', 'without a field there is no body'],
    [['Content-Length', '0'], 'length 0', 'a stated length'],
    [['content-length', '42'], 'length 42', 'field names have no case'],
    [['Content-Length', '007'], 'length 7', 'leading zeros are digits (RFC 9110 section 8.6)'],
    [['Transfer-Encoding', 'chunked'], 'chunked', 'the one coding that is carried'],
    [
      ['Content-Length', '4', 'Transfer-Encoding', 'chunked'],
      'malformed_request: both Content-Length and Transfer-Encoding',
      'the next hop may believe the other one (case 1)',
    ],
    [
      ['Transfer-Encoding', 'chunked', 'Content-Length', '0'],
      'malformed_request: both Content-Length and Transfer-Encoding',
      'in either order, and with no length at all (case 1)',
    ],
    [
      ['Content-Length', '4', 'Content-Length', '4'],
      'malformed_request: more than one Content-Length',
      'even equal ones (case 1)',
    ],
    [
      ['Content-Length', '4', 'content-length', '5'],
      'malformed_request: more than one Content-Length',
      'different ones (case 1)',
    ],
    [['Content-Length', '4, 4'], 'malformed_request: Content-Length is not a number', 'repeated in one field (case 1)'],
    [['Content-Length', ''], 'malformed_request: Content-Length is not a number', 'empty (case 1)'],
    [['Content-Length', '+4'], 'malformed_request: Content-Length is not a number', 'a sign (case 1)'],
    [['Content-Length', '-1'], 'malformed_request: Content-Length is not a number', 'a sign'],
    [['Content-Length', '0x10'], 'malformed_request: Content-Length is not a number', 'hexadecimal (case 1)'],
    [['Content-Length', '1e3'], 'malformed_request: Content-Length is not a number', 'an exponent'],
    [['Content-Length', '4 '], 'malformed_request: Content-Length is not a number', 'a space that the parser left'],
    [['Content-Length', '\u0664'], 'malformed_request: Content-Length is not a number', 'a digit of another script'],
    [['Content-Length', '9'.repeat(15)], `length ${'9'.repeat(15)}`, 'as long as a number is exact'],
    [['Content-Length', '9'.repeat(16)], 'malformed_request: Content-Length is not a number', 'longer it overflows'],
    [['Transfer-Encoding', ',chunked'], 'malformed_request: Transfer-Encoding is not `chunked`', 'Node takes it (case 2)'],
    [['Transfer-Encoding', 'xchunked'], 'malformed_request: Transfer-Encoding is not `chunked`', 'near miss (case 2)'],
    [['Transfer-Encoding', 'chunked '], 'malformed_request: Transfer-Encoding is not `chunked`', 'near miss (case 2)'],
    [['Transfer-Encoding', 'Chunked'], 'malformed_request: Transfer-Encoding is not `chunked`', 'odd case (case 2)'],
    [['Transfer-Encoding', 'CHUNKED'], 'malformed_request: Transfer-Encoding is not `chunked`', 'odd case (case 2)'],
    [['Transfer-Encoding', 'gzip, chunked'], 'malformed_request: Transfer-Encoding is not `chunked`', 'another coding'],
    [
      ['Transfer-Encoding', 'chunked, chunked'],
      'malformed_request: Transfer-Encoding is not `chunked`',
      'repeated in one (case 2)',
    ],
    [['Transfer-Encoding', 'identity'], 'malformed_request: Transfer-Encoding is not `chunked`', 'long gone from HTTP'],
    [['Transfer-Encoding', ''], 'malformed_request: Transfer-Encoding is not `chunked`', 'empty'],
    [
      ['Transfer-Encoding', 'chunked', 'Transfer-Encoding', 'chunked'],
      'malformed_request: more than one Transfer-Encoding',
      'repeated (case 2)',
    ],
    [['Transfer-Encoding ', 'chunked'], 'malformed_request: a field name is not a token', 'a space before the colon (case 2)'],
  ]
  for (const [fields, expected, because] of CASES)
    it(`${expected}: ${JSON.stringify(fields)}, ${because}`, () => expect(withFields(...fields)).toBe(expected))

  it('of HTTP/1.0 is never chunked', () => {
    expect(checked({ httpVersion: '1.0', rawHeaders: ['Transfer-Encoding', 'chunked'] })).toBe(
      'malformed_request: Transfer-Encoding in HTTP/1.0',
    )
  })

  it('does not exist on CONNECT (case 7)', () => {
    const connect = (...fields: readonly string[]) =>
      checked({ method: 'CONNECT', target: 'h:443', rawHeaders: ['Host', 'h', ...fields] })
    expect(connect()).toBe('none')
    expect(connect('Content-Length', '0')).toBe('length 0')
    expect(connect('Content-Length', '1')).toBe('malformed_request: CONNECT with a body')
    expect(connect('Transfer-Encoding', 'chunked')).toBe('malformed_request: CONNECT with a body')
  })
})

describe('the Host field (case 11)', () => {
  const CASES: readonly (readonly [version: string, fields: readonly string[], expected: string])[] = [
    ['1.1', ['Host', 'h'], 'none'],
    ['1.1', ['hOST', 'other'], 'none'],
    ['1.1', [], 'malformed_request: HTTP/1.1 without Host'],
    ['1.1', ['Host', 'h', 'Host', 'h'], 'malformed_request: more than one Host'],
    ['1.1', ['Host', 'h', 'host', 'other'], 'malformed_request: more than one Host'],
    ['1.0', [], 'none'],
    ['1.0', ['Host', 'h'], 'none'],
    ['1.0', ['Host', 'h', 'Host', 'h'], 'malformed_request: more than one Host'],
  ]
  for (const [httpVersion, rawHeaders, expected] of CASES)
    for (const method of ['GET', 'CONNECT'])
      it(`${method} in HTTP/${httpVersion} with ${JSON.stringify(rawHeaders)} is ${expected}`, () => {
        expect(checked({ method, target: 'h:443', httpVersion, rawHeaders })).toBe(expected)
      })
})

describe('the bytes of a head (case 4)', () => {
  const NUL = 'malformed_request: control character in the value of a field'
  const TOKEN = 'malformed_request: a field name is not a token'
  const CASES: readonly (readonly [name: string, value: string, expected: string])[] = [
    ['X-A', 'plain', 'none'],
    ['X-A', 'tab\tinside', 'none'],
    ['X-A', 'caf\u00e9', 'none'],
    ['X-A', '', 'none'],
    ["!#$%&'*+-.^_`|~09az", 'every character of a token', 'none'],
    ['X-A', 'nul\0', NUL],
    ['X-A', 'cr\rx', NUL],
    ['X-A', 'lf\nx', NUL],
    ['X-A', 'fold\r\n x', NUL],
    ['X-A', 'esc\u001b[2J', NUL],
    ['X-A', 'del\u007f', NUL],
    ['', 'x', TOKEN],
    ['X A', 'x', TOKEN],
    ['X-A ', 'x', TOKEN],
    ['X:A', 'x', TOKEN],
    ['X\0A', 'x', TOKEN],
    ['X(A)', 'x', TOKEN],
    ['X\u00e9', 'x', TOKEN],
    ['X-\u212aey', 'x', TOKEN],
  ]
  for (const [name, value, expected] of CASES)
    it(`${JSON.stringify(name)}: ${JSON.stringify(value)} is ${expected}`, () => expect(withFields(name, value)).toBe(expected))

  for (const target of ['/a b', '/a\tb', '/a\0b', '/a\rb', '/a\nb', '/a\x7fb', 'http://h/\u001b[2J', ' /a'])
    it(`the target ${JSON.stringify(target)} is no target`, () => {
      expect(checked({ target })).toBe('malformed_request: control character or space in the target')
    })

  for (const httpVersion of ['0.9', '1.2', '2.0', '', '1.1 '])
    it(`HTTP/${httpVersion} is not spoken`, () => {
      expect(checked({ httpVersion })).toBe('malformed_request: only HTTP/1.0 and HTTP/1.1 are spoken here')
    })
})

describe('the size of a head (case 33)', () => {
  const fields = (count: number): readonly string[] => Array.from({ length: count }, (_, at) => [`X-${at}`, 'v']).flat()

  it('has a limit for the target', () => {
    expect(checked({ target: `/${'a'.repeat(8191)}` })).toBe('none')
    expect(checked({ target: `/${'a'.repeat(8192)}` })).toBe('target_too_long: more than 8192 bytes')
    expect(checked({ target: `/${'a'.repeat(70_000)}` })).toBe('target_too_long: more than 8192 bytes')
  })

  it('has a limit for the number of fields', () => {
    expect(checked({ rawHeaders: ['Host', 'h', ...fields(199)] })).toBe('none')
    expect(checked({ rawHeaders: ['Host', 'h', ...fields(200)] })).toBe('head_too_large: more than 200 fields')
    expect(checked({ rawHeaders: ['Host', 'h', ...fields(20_000)] })).toBe('head_too_large: more than 200 fields')
  })

  it('has a limit for their bytes, as they stand on the wire', () => {
    const rest = 16_384 - 'Host: h\r\n'.length - 'X-A: \r\n'.length
    expect(withFields('X-A', 'a'.repeat(rest))).toBe('none')
    expect(withFields('X-A', 'a'.repeat(rest + 1))).toBe('head_too_large: more than 16384 bytes of fields')
    expect(withFields('X-Forwarded-For', '10.0.0.1, '.repeat(1_700))).toBe('head_too_large: more than 16384 bytes of fields')
  })
})

function target(method: string, text: string): string {
  const result = readTarget({ method, target: text })
  if (!result.ok) return result.error.reason
  const { value } = result
  if (value.form === 'origin') return `origin ${value.pathAndQuery}`
  const authority = formatAuthority(value.authority)
  return value.form === 'authority' ? authority : `${authority} ${value.pathAndQuery}`
}

describe('the target of a CONNECT', () => {
  const READ: readonly (readonly [text: string, expected: string])[] = [
    ['pypi.org:443', 'pypi.org:443'],
    ['PyPI.ORG.:443', 'pypi.org:443'],
    ['1password.com:443', '1password.com:443'],
    ['10.1.2.3:22', '10.1.2.3:22'],
    ['[2001:DB8:0::1]:443', '[2001:db8::1]:443'],
    ['h:65535', 'h:65535'],
    ['h:1', 'h:1'],
  ]
  for (const [text, expected] of READ) it(`${text} is ${expected}`, () => expect(target('CONNECT', text)).toBe(expected))

  const REFUSED = [
    'user@h:443',
    'user:password@h:443',
    'h:443/p',
    'http://h:443',
    'https://h:443/',
    'h',
    'h:',
    ':443',
    '',
    'HTTP/1.1',
    '/',
    '/path',
    '*',
    'h,x:443',
    'h;x:443',
    'h:443,x:443',
    '%66oo:443',
    '*.h:443',
    'h..com:443',
    '.h:443',
    'h#:443',
    'h?:443',
    'h\\x:443',
    'h:0',
    'h:0443',
    'h:+443',
    'h:-443',
    'h:99999',
    'h:65536',
    'h:4 43',
    'h:443 ',
    'h:0x1bb',
    'h:\u0664\u0664\u0663',
    'h:443:443',
    '[example.com]:443',
    '[10.1.2.3]:443',
    '[::1:443',
    '::1:443',
    '[::1]',
    '[fe80::1%25eth0]:443',
    'fe80::1%eth0:443',
    'h\0.example:443',
    '127.0.0.1\0.example.com:443',
    'h\r\nx:443',
    '2130706433:443',
    '0177.0.0.1:443',
    '0x7f.1:443',
    '127.1:443',
    '127.0.0.1.:443',
    '\u2460\u2461\u2466.0.0.1:443',
    '\uff11\uff12\uff17.0.0.1:443',
    'b\u00fccher.example:443',
    '-h.example:443',
    `${'a'.repeat(64)}.example:443`,
    `${'a.'.repeat(128)}:443`,
  ]
  for (const text of REFUSED)
    it(`${JSON.stringify(text.slice(0, 60))} is malformed (cases 8, 9, 12, 13, 15)`, () => {
      expect(target('CONNECT', text)).toBe('malformed_request')
    })
})

describe('the target of any other request', () => {
  const CASES: readonly (readonly [text: string, expected: string, because: string, method?: string])[] = [
    ['http://h/a?b', 'h:80 /a?b', 'absolute form'],
    ['HTTP://H.Example./A', 'h.example:80 /A', 'scheme and host have no case, the path has'],
    ['http://h', 'h:80 /', 'an empty path is `/` (RFC 9112 section 3.2.1)'],
    ['http://h?q=/x', 'h:80 /?q=/x', 'an empty path before a query'],
    ['http://h', 'h:80 *', 'and `*` for OPTIONS (section 3.2.4)', 'OPTIONS'],
    ['http://h/', 'h:80 /', 'but only an empty one', 'OPTIONS'],
    ['http://h:8080/a', 'h:8080 /a', 'with a port'],
    ['http://[2001:db8::1]/a', '[2001:db8::1]:80 /a', 'IPv6'],
    ['http://h//a/../b%2e', 'h:80 //a/../b%2e', 'the path stays exactly as received'],
    ['http://h/http://other/', 'h:80 /http://other/', 'what looks like a URL in a path is a path'],
    ['http://h/a@b:c', 'h:80 /a@b:c', 'and an `@` in it is no user information'],
    ['http://h?u@other', 'h:80 /?u@other', 'nor is one in a query'],
    ['/a?b', 'origin /a?b', 'origin form; whether it is a proxy request is not decided here'],
    ['//other/a', 'origin //other/a', 'two slashes are still a path'],
    ['*', 'not_a_proxy_request', 'about this server', 'OPTIONS'],
    ['h:80', 'not_a_proxy_request', 'an authority is for CONNECT'],
    ['', 'not_a_proxy_request', 'no request without a target (case 36)'],
    ['h/a', 'not_a_proxy_request', 'neither a path nor a URL'],
    ['http:/h/a', 'not_a_proxy_request', 'one slash makes no authority'],
    ['http:h', 'not_a_proxy_request', 'nor none'],
    ['https://h/a', 'scheme_not_supported', 'https goes through CONNECT'],
    ['ftp://h/a', 'scheme_not_supported', 'ftp is not carried'],
    ['ws://h/a', 'scheme_not_supported', 'WebSocket over plain HTTP is an http URL with Upgrade'],
    ['httpx://h/a', 'scheme_not_supported', 'near miss'],
    ['http://', 'malformed_request', 'no host'],
    ['http:///a', 'malformed_request', 'no host'],
    ['http://:80/a', 'malformed_request', 'no host'],
    ['http://h:/a', 'malformed_request', 'no port after the colon'],
    ['http://h:0/a', 'malformed_request', 'no such port (case 9)'],
    ['http://h:080/a', 'malformed_request', 'a leading zero (case 9)'],
    ['http://user@h/a', 'malformed_request', 'user information (case 11)'],
    ['http://listed@evil/a', 'malformed_request', 'user information (case 11)'],
    ['http://h/a#b', 'malformed_request', 'a fragment never leaves the client'],
    ['http://h#@evil/', 'malformed_request', 'readers disagree on where the host ends'],
    ['http://h\\@evil/', 'malformed_request', 'readers disagree on where the host ends'],
    ['http://h%2eexample/', 'malformed_request', 'an escape in a host (case 13)'],
    ['http://h%00.example/', 'malformed_request', 'an escape in a host (case 13)'],
    ['http://127.1/', 'malformed_request', 'a short address (case 15)'],
    ['http://[h]/', 'malformed_request', 'brackets round a name (case 12)'],
    ['http://h,other/', 'malformed_request', 'two hosts'],
    [' http://h/', 'not_a_proxy_request', 'a space before the scheme'],
  ]
  for (const [text, expected, because, method = 'GET'] of CASES)
    it(`${method} ${JSON.stringify(text)} is ${expected}: ${because}`, () => expect(target(method, text)).toBe(expected))
})

describe('whatever arrives', () => {
  const bytes = fc.string({ unit: 'binary', maxLength: 60 })
  const alike = fc.string({ unit: fc.constantFrom(...'http://a.b:80[]%@?#\\*,;\0\r\n \u00e9'), maxLength: 30 })

  it('is read without throwing, and refused in bounded printable words (seeded)', () => {
    fc.assert(
      fc.property(fc.constantFrom('CONNECT', 'GET', 'OPTIONS'), fc.oneof(bytes, alike), (method, text) => {
        const result = readTarget({ method, target: text })
        if (result.ok) return
        expect(result.error.detail).toMatch(/^[\x20-\x7e]{1,400}$/)
      }),
      { seed: 8, numRuns: 5_000 },
    )
  })

  it('is one authority for everybody who reads it, where it is taken (seeded)', () => {
    fc.assert(
      fc.property(alike, (text) => {
        const result = readTarget({ method: 'GET', target: `http://${text}` })
        if (!result.ok || result.value.form !== 'absolute') return
        const { host, port } = result.value.authority
        const url = new URL(`http://${text.split('?')[0]}`)
        expect(url.hostname.replace(/^\[|\]$|\.$/g, '')).toBe(host.text)
        expect(Number(url.port || 80)).toBe(port)
      }),
      { seed: 11, numRuns: 20_000 },
    )
  })
})

describe('a field or a path', () => {
  it('is found whatever its case', () => {
    expect(fieldValue(['A', '1', 'Expect', '100-continue'], 'expect')).toBe('100-continue')
    expect(fieldValue(['A', 'expect'], 'expect')).toBeUndefined()
  })

  it('ends at the query', () => {
    expect(pathOf('/a?b?c')).toBe('/a')
    expect(pathOf('/a')).toBe('/a')
    expect(pathOf('?b')).toBe('')
  })
})
