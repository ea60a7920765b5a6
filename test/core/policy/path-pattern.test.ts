import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parsePathPattern, pathAmbiguity } from '../../../src/core/policy/path-pattern.ts'
import { unwrap } from '../../support/policy.ts'

const matches = (pattern: string, path: string): boolean => unwrap(parsePathPattern(pattern)).matches(path)

type Case = readonly [pattern: string, path: string, matches: boolean, because: string]

const CASES: readonly Case[] = [
  ['/a/b', '/a/b', true, 'it is the path'],
  ['/a/b', '/a/b/', false, 'a slash makes it another'],
  ['/a/b', '/a/B', false, 'case counts'],
  ['/a/b', '/x/a/b', false, 'a pattern covers the path from its beginning'],
  ['/a/b/*', '/a/b/', true, 'the folder itself, with its slash'],
  ['/a/b/*', '/a/b/c', true, 'what is in it'],
  ['/a/b/*', '/a/b/c/d/e', true, 'at any depth'],
  ['/a/b/*', '/a/b/.git/config', true, 'dotfiles are files'],
  ['/a/b/*', '/a/b', false, 'not the name without its slash'],
  ['/a/b/*', '/a/bc', false, 'segments are compared, not text beginnings'],
  ['/a/b/*', '/A/b/c', false, 'case counts'],
  ['/*', '/', true, 'every path'],
  ['/*', '/a/b', true, 'every path'],
  ['/*', '*', false, 'but not the `*` of OPTIONS, which is no path'],
  ['/a/*/c', '/a/b/c', true, 'an inner `*` is one segment'],
  ['/a/*/c', '/a/.b/c', true, 'also one that begins with a dot'],
  ['/a/*/c', '/a/b/x/c', false, 'and not two'],
  ['/a/*/c', '/a/c', false, 'and not none'],
  ['/a/*/c', '/a/b/c/', false, 'a slash at the end makes it another path'],
  ['/a/*/c', '/a/b/C', false, 'case counts beside a `*` too'],
  ['/a/*/c/*', '/a/b/c/', true, 'a trailing `/*` after an inner one is still a folder'],
  ['/a/*/c/*', '/a/b/c/d/e', true, 'at any depth'],
  ['/a/*/c/*', '/a/b/c', false, 'not the name without its slash'],
  ['/a/*/c/*', '/a/b/x/c/d', false, 'the inner `*` stays one segment'],
  ['/a/*/c/*', '/a/b/cd/e', false, 'segments are compared, not text beginnings'],
  ['/*/*/c/*', '/a/b/c/d', true, 'several segments may have a `*` each'],
  ['/p/*.whl', '/p/torch-2.0.whl', true, 'a `*` within a segment'],
  ['/p/*.whl', '/p/.whl', true, 'a `*` may stand for nothing'],
  ['/p/*.whl', '/p/x/torch.whl', false, 'it never crosses a slash'],
  ['/p/*.whl', '/p/torch_whl', false, 'a dot is a dot'],
  ['/p/torch-*', '/p/torch-2.0.whl', true, 'a `*` at the end of a segment'],
  ['/p/torch-*', '/p/torch-2.0/x', false, 'which is not a folder'],
  ['/p/*/', '/p/x/', true, 'a slash at the end is part of the pattern'],
  ['/p/*/', '/p/x', false, 'a slash at the end is part of the pattern'],
  ['/p/x*y/z', '/p/x\ny/z', false, 'what is not printable is no part of a path'],
]

describe('a path pattern', () => {
  for (const [pattern, path, expected, because] of CASES)
    it(`${pattern} ${expected ? 'covers' : 'does not cover'} ${JSON.stringify(path)}: ${because}`, () => {
      expect(matches(pattern, path) && pathAmbiguity(path) === undefined).toBe(expected)
    })

  const LITERAL = [
    ['[ab]', 'a'],
    ['{a,b}', 'a'],
    ['{1..3}', '2'],
    ['!a', 'b'],
    ['!(a)', 'b'],
    ['+(a)', 'aa'],
    ['@(a|b)', 'a'],
    ['a|b', 'a'],
    ['(a)', 'a'],
    ['^a$', 'a'],
    ['"a"', 'a'],
    ["'a'", 'a'],
    ['[[:alpha:]]', 'a'],
    ['a+', 'aa'],
    ['a.c', 'abc'],
    ['~a', 'a'],
  ] as const

  for (const [text, read] of LITERAL)
    it(`takes ${text} literally, also beside a \`*\``, () => {
      expect(matches(`/${text}/x`, `/${text}/x`)).toBe(true)
      expect(matches(`/${text}/x`, `/${read}/x`)).toBe(false)
      expect(matches(`/*/${text}`, `/x/${text}`)).toBe(true)
      expect(matches(`/*/${text}`, `/x/${read}`)).toBe(false)
      expect(matches(`/${text}*/x/*`, `/${text}1/x/y`)).toBe(true)
      expect(matches(`/${text}*/x/*`, `/${read}1/x/y`)).toBe(false)
    })

  it('agrees with its plain meaning, for any text (seeded)', () => {
    const text = fc.string({ unit: fc.constantFrom(...'aab.-_~!$&\'"()[]{}+@|^=,:%2'), maxLength: 3 })
    const segment = fc.oneof(
      text,
      fc.tuple(text, text).map(([a, b]) => `${a}*${b}`),
    )
    const pattern = fc.array(segment, { minLength: 1, maxLength: 4 }).map((segments) => `/${segments.join('/')}`)
    const path = fc.array(text, { minLength: 1, maxLength: 4 }).map((segments) => `/${segments.join('/')}`)
    fc.assert(
      fc.property(pattern, path, fc.array(text, { minLength: 4, maxLength: 4 }), (written, other, fillings) => {
        const parsed = parsePathPattern(written)
        if (!parsed.ok) return
        let at = 0
        const filled = written.replaceAll('*', () => fillings[at++] ?? '')
        for (const candidate of [other, filled]) {
          if (pathAmbiguity(candidate) !== undefined) continue
          expect(parsed.value.matches(candidate), `${written} on ${candidate}`).toBe(plainlyMatches(written, candidate))
        }
      }),
      { seed: 20210729, numRuns: 5_000 },
    )
  })
})

/** The sentence in the docs, without a regular expression: segment by segment, the last `*` alone a whole folder. */
function plainlyMatches(pattern: string, path: string): boolean {
  const wanted = pattern.split('/')
  const given = path.split('/')
  if (wanted.at(-1) === '*') {
    wanted.pop()
    if (given.length <= wanted.length) return false
    given.length = wanted.length
  }
  return wanted.length === given.length && wanted.every((text, index) => segmentMatches(text, given[index] ?? ''))
}

function segmentMatches(wanted: string, given: string): boolean {
  const star = wanted.indexOf('*')
  if (star < 0) return wanted === given
  const end = wanted.slice(star + 1)
  return given.length >= wanted.length - 1 && given.startsWith(wanted.slice(0, star)) && given.endsWith(end)
}

describe('what is no path pattern', () => {
  const REFUSED: readonly (readonly [text: string, message: string])[] = [
    ['a/b', '`a/b`: a path begins with `/`'],
    ['', '``: a path begins with `/`'],
    ['*', '`*`: a path begins with `/`'],
    ['/a?b', '`/a?b`: the query is not part of the match; leave out `?` and what follows'],
    ['/a/**', '`/a/**`: write one `*`; at the end, `/*` covers everything under it'],
    ['/a*b*c', '`/a*b*c`: only one `*` is allowed between two `/`'],
    ['/x/*a*/y', '`/x/*a*/y`: only one `*` is allowed between two `/`'],
    ['/a/../b', '`/a/../b` can never match: it has a `.` or `..` segment'],
    ['/a//b', '`/a//b` can never match: it has an empty segment (`//`)'],
    ['/a\\b', '`/a\\\\b` can never match: it has a backslash'],
    ['/a b', '`/a b` can never match: it has a byte outside printable ASCII'],
    ['/caf\u00e9', '`/caf\\u00e9` can never match: it has a byte outside printable ASCII'],
    ['/a%2fb', '`/a%2fb` can never match: it hides a dot, slash, backslash or NUL behind an escape'],
    [`/${'a'.repeat(8192)}`, 'a path has at most 8192 characters'],
  ]
  for (const [text, message] of REFUSED)
    it(`${text.slice(0, 30) || 'an empty one'}: ${message.replace(/^.*?`: /, '').slice(0, 60)}`, () => {
      expect(parsePathPattern(text)).toEqual({ ok: false, error: message })
    })

  it('several `*` in one segment: their ways to share a long path would be a denial of service', () => {
    // With k of them, an expression tries about n^k/k! ways on n characters; one a segment leaves nothing to share.
    for (const stars of [2, 3, 10]) expect(parsePathPattern(`/${'a*'.repeat(stars)}b`).ok).toBe(false)
    const pattern = unwrap(parsePathPattern(`${'/a*'.repeat(100)}/b`))
    expect(pattern.matches(`${'/aaa'.repeat(2_000)}/c`)).toBe(false)
  })
})

describe('an ambiguous path', () => {
  const DOT = 'it hides a dot, slash, backslash or NUL behind an escape'
  const SEGMENT = 'it has a `.` or `..` segment'
  const BYTE = 'it has a byte outside printable ASCII'
  const ESCAPE = 'it has an incomplete `%` escape'
  const OVERLONG = 'it has an escape that is not UTF-8'
  const REFUSED: readonly (readonly [path: string, why: string])[] = [
    ['/a/../b', SEGMENT],
    ['/a/./b', SEGMENT],
    ['/..', SEGMENT],
    ['/.', SEGMENT],
    ['/a/..', SEGMENT],
    ['/../', SEGMENT],
    ['//', 'it has an empty segment (`//`)'],
    ['/a//b', 'it has an empty segment (`//`)'],
    ['/a\\b', 'it has a backslash'],
    ['/a;x=1', 'it has a `;` parameter'],
    ['/a/..;/b', 'it has a `;` parameter'],
    ['/a#b', 'it has a `#`'],
    ['/a b', BYTE],
    ['/a\tb', BYTE],
    ['/a\0b', BYTE],
    ['/a\x7fb', BYTE],
    ['/a\u0080b', BYTE],
    ['/a\u00e9b', BYTE],
    ['/a\u2028b', BYTE],
    ['/a\uff0fb', BYTE],
    ['/%2e%2e/b', DOT],
    ['/%2E./b', DOT],
    ['/.%2e/b', DOT],
    ['/a%2fb', DOT],
    ['/a%2Fb', DOT],
    ['/a%5cb', DOT],
    ['/a%5Cb', DOT],
    ['/a%00b', DOT],
    ['/%252e%252e/b', DOT],
    ['/a%252fb', DOT],
    ['/a%255Cb', DOT],
    ['/a%2500b', DOT],
    ['/a%25252fb', DOT],
    ['/a%252525252fb', DOT],
    ['/a%25%32%66b', DOT],
    ['/a%25%32%65b', DOT],
    ['/a%%32%66b', ESCAPE],
    ['/a%252%66b', DOT],
    ['/a%25%32fb', DOT],
    ['/a%2525%32%66b', DOT],
    ['/a%2525252541b', DOT],
    ['/a%', ESCAPE],
    ['/a%2', ESCAPE],
    ['/a%zz', ESCAPE],
    ['/a%u002e', ESCAPE],
    ['/a%c0%ae', OVERLONG],
    ['/a%C0%AF', OVERLONG],
    ['/a%c1%9c', OVERLONG],
    ['/a%e0%80%ae', OVERLONG],
    ['/a%f0%80%80%af', OVERLONG],
  ]
  for (const [path, why] of REFUSED)
    it(`${JSON.stringify(path)}: ${why}`, () => {
      expect(pathAmbiguity(path)).toBe(why)
    })

  const ACCEPTED: readonly (readonly [path: string, because: string])[] = [
    ['/', 'the shortest path'],
    ['/a/b/', 'a slash at the end is no empty segment'],
    ['/...', 'three dots are a name'],
    ['/..a/b..', 'dots within a name'],
    ['/.git/config', 'dotfiles are files'],
    ['/a%20b', 'an escaped space'],
    ['/caf%c3%a9', 'UTF-8'],
    ['/%e6%97%a5', 'UTF-8 of three bytes'],
    ['/%e0%a4%85', 'UTF-8 that begins with `e0` and is as short as can be'],
    ['/%f0%9f%98%80', 'UTF-8 of four bytes'],
    ['/a%25', 'an escaped per cent sign that escapes nothing'],
    ['/a%2520b', 'a space escaped twice hides no separator'],
    ['/a%2541', 'nor does a letter'],
    ['/a~b!$&\'()*+,=:@-_.[]{}|^`"<>', 'everything else that is printable is taken as it stands'],
  ]
  for (const [path, because] of ACCEPTED)
    it(`is not ${path}: ${because}`, () => {
      expect(pathAmbiguity(path)).toBeUndefined()
    })

  it('is every path that becomes another one when it is unescaped and resolved (seeded)', () => {
    const piece = fc.constantFrom(
      '/',
      '.',
      '..',
      'a',
      '%',
      '2',
      '5',
      'e',
      'f',
      'E',
      'F',
      '%2e',
      '%2f',
      '%25',
      '%32',
      '%65',
      '%5c',
      '%41',
    )
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 10 }), (pieces) => {
        const path = `/${pieces.join('')}`
        if (pathAmbiguity(path) !== undefined) return
        let text = path
        for (let i = 0; i < 4; i++) {
          // A proxy that resolves, or an origin that unescapes first: neither may find another number of segments or a `..`.
          expect(new URL(`http://origin${text}`).pathname.split('/').length, `${path} unescaped ${i} times`).toBe(
            path.split('/').length,
          )
          text = text.replace(/%[0-9a-f]{2}/gi, (triplet) => String.fromCharCode(Number.parseInt(triplet.slice(1), 16)))
        }
      }),
      { seed: 37, numRuns: 5_000 },
    )
  })
})
