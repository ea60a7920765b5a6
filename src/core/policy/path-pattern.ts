import micromatch from 'micromatch'
import { quote } from '../names/quote.ts'
import { err, ok, type Result } from '../result.ts'

/**
 * Which paths an entry covers. Matching is by exact text: case counts and the query is no part of it.
 *
 * A trailing `/*` covers that folder and everything under it, at any depth, but not the folder's name without its slash. A
 * `*` anywhere else stands for characters within one segment, and a segment has at most one: the expression that micromatch
 * makes would try n^k ways to share n characters among k of them, on a path that a client chose.
 */
export interface PathPattern {
  readonly text: string
  readonly matches: (path: string) => boolean
}

/** Inside a pattern only `*` has a meaning; all else that micromatch would interpret is switched off. */
const GLOB_OPTIONS = {
  dot: true,
  nobrace: true,
  noext: true,
  nonegate: true,
  nobracket: true,
  noglobstar: true,
  strictSlashes: true,
}

/** Characters that micromatch gives a meaning even with those options, so that they must be taken literally. */
const GLOB_SPECIAL = /[\\?!()[\]{}+@|$^"]/g

/** As long as a request's target may be by default; a longer pattern could match nothing. */
const PATTERN_CHARACTERS_MAX = 8192

/** Reads one item of `paths`. The error is a sentence with the remedy. */
export function parsePathPattern(text: string): Result<PathPattern, string> {
  if (!text.startsWith('/')) return err(`${quote(text)}: a path begins with \`/\``)
  if (text.includes('?')) return err(`${quote(text)}: the query is not part of the match; leave out \`?\` and what follows`)
  if (text.includes('**')) return err(`${quote(text)}: write one \`*\`; at the end, \`/*\` covers everything under it`)
  if (text.length > PATTERN_CHARACTERS_MAX) return err(`a path has at most ${PATTERN_CHARACTERS_MAX} characters`)
  const ambiguity = pathAmbiguity(text)
  if (ambiguity !== undefined) return err(`${quote(text)} can never match: ${ambiguity}`)
  if (/\*[^/]+\*/.test(text)) return err(`${quote(text)}: only one \`*\` is allowed between two \`/\``)

  const folder = text.endsWith('/*') ? text.slice(0, -1) : undefined
  if (!(folder ?? text).includes('*')) {
    return ok({ text, matches: folder === undefined ? (path) => path === text : (path) => path.startsWith(folder) })
  }
  const glob = micromatch.makeRe((folder?.slice(0, -1) ?? text).replace(GLOB_SPECIAL, '\\$&'), GLOB_OPTIONS)
  if (folder === undefined) return ok({ text, matches: (path) => glob.test(path) })
  const depth = folder.split('/').length - 2
  return ok({
    text,
    matches: (path) => {
      const end = nthSlash(path, depth)
      return end >= 0 && glob.test(path.slice(0, end))
    },
  })
}

/**
 * Why a path can be read in more than one way, or undefined when everyone reads it alike. Under a path rule such a path is
 * refused: the origin might resolve it to another place than the one that was judged (Envoy CVE-2021-29492).
 *
 * @param path the path as forwarded, without its query
 */
export function pathAmbiguity(path: string): string | undefined {
  for (let i = 0; i < path.length; i++) {
    const code = path.charCodeAt(i)
    if (code <= 0x20 || code >= 0x7f) return 'it has a byte outside printable ASCII'
    if (code === 0x5c) return 'it has a backslash'
    if (code === 0x3b) return 'it has a `;` parameter'
    if (code === 0x23) return 'it has a `#`'
  }
  if (path.includes('//')) return 'it has an empty segment (`//`)'
  if (/(?:^|\/)\.{1,2}(?:\/|$)/.test(path)) return 'it has a `.` or `..` segment'
  if (!path.includes('%')) return undefined
  if (/%(?![0-9a-f]{2})/i.test(path)) return 'it has an incomplete `%` escape'
  if (hidesSeparator(path)) return 'it hides a dot, slash, backslash or NUL behind an escape'
  if (OVERLONG_UTF8.test(path)) return 'it has an escape that is not UTF-8'
  return undefined
}

/**
 * UTF-8 forms that are longer than they need be and never valid (RFC 3629 section 3). A lenient decoder takes `%c0%ae` for a
 * dot and `%c0%af` for a slash.
 */
const OVERLONG_UTF8 = /%c[01]|%e0%[89]|%f0%8/i

/** How often an origin and what stands before it might unescape a path. */
const DECODINGS_MAX = 3

/** Whether a dot, slash, backslash or NUL appears when escapes are undone once or more: `%2e`, `%252e`, but also `%25%32%65`. */
function hidesSeparator(path: string): boolean {
  let text = path
  for (let i = 0; i < DECODINGS_MAX; i++) {
    if (/%(?:25)*(?:2e|2f|5c|00)/i.test(text)) return true
    const decoded = text.replace(/%[0-9a-f]{2}/gi, (triplet) => String.fromCharCode(Number.parseInt(triplet.slice(1), 16)))
    if (decoded === text) return false
    text = decoded
  }
  // Nobody means an escape within an escape within an escape.
  return /%[0-9a-f]{2}/i.test(text)
}

/** Index of the n-th `/` after the first one, or -1. */
function nthSlash(path: string, n: number): number {
  let at = 0
  for (let i = 0; i < n && at >= 0; i++) at = path.indexOf('/', at + 1)
  return at
}
