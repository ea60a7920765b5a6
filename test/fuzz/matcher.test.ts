import fc from 'fast-check'
import { describe, expect } from 'vitest'
import { CidrSet } from '../../src/core/names/cidr.ts'
import { treeOf } from '../../src/core/policy/compile.ts'
import { decide, type EgressRequest } from '../../src/core/policy/decide.ts'
import type { Entry, Pattern } from '../../src/core/policy/entry.ts'
import { parseHostPattern } from '../../src/core/policy/host-pattern.ts'
import { HostTree } from '../../src/core/policy/host-tree.ts'
import { parsePathPattern } from '../../src/core/policy/path-pattern.ts'
import type { Policy } from '../../src/core/policy/policy.ts'
import { plainVerdict } from '../support/plain-verdict.ts'
import { authorityOf, unwrap } from '../support/policy.ts'
import { fuzz } from './fuzz-run.ts'

/** Few labels, so that names meet patterns often; some end like others without being under them. */
const LABELS = ['a', 'b', 'evila', 'x-y', 'com', 'test']
const ADDRESSES = ['10.0.0.1', '203.0.113.9', '[2001:db8::1]', '[::ffff:10.0.0.1]']
const PORTS = [80, 443, 22, 8443]
const PATHS = ['/', '/x', '/x/', '/x/y', '/x/y/z', '/X', '/x/a.z', '/q/y', '/x/../y', '/x%2fy', '/x//y']
const PATH_PATTERNS = ['/', '/x', '/x/*', '/*/y', '/x/*.z', '/*', '/x/*/z']
const METHODS = ['GET', 'PUT', 'POST']

const name = fc.array(fc.constantFrom(...LABELS), { minLength: 1, maxLength: 4 }).map((labels) => labels.join('.'))
const host = fc.oneof({ weight: 6, arbitrary: name }, fc.constantFrom(...ADDRESSES))
const hostPattern = fc
  .oneof(
    { weight: 6, arbitrary: fc.tuple(fc.constantFrom('', '*.', '*'), name).map((parts) => parts.join('')) },
    fc.constantFrom(...ADDRESSES.map((text) => text.replace(/[[\]]/g, ''))),
  )
  .map((text) => unwrap(parseHostPattern(text)))

/** Made once: compiling a glob costs more than all the rest of a case. */
const COMPILED_PATHS = PATH_PATTERNS.map((text) => unwrap(parsePathPattern(text)))
const some = <T>(values: readonly T[]) => fc.subarray([...values], { minLength: 1, maxLength: 2 })

const entry = fc.tuple(
  hostPattern,
  fc.constantFrom('allow', 'allow', 'deny', 'report'),
  fc.option(some(PORTS), { nil: 'any' as const }),
  fc.option(some(COMPILED_PATHS), { nil: undefined, freq: 1 }),
  fc.option(some(METHODS), { nil: undefined, freq: 1 }),
)

function policyOf(drawn: readonly (typeof entry extends fc.Arbitrary<infer T> ? T : never)[]): Policy {
  const entries = drawn.map(([host, action, ports, paths, methods], at): Entry => {
    const pattern: Pattern = { host, ports, ...(paths && { paths }), ...(methods && { methods }) }
    const denies = action === 'deny' ? { action } : { action: 'deny' as const, mode: 'report' as const }
    return { id: `rule/${at}`, origin: 'rule', patterns: [pattern], ...(action === 'allow' ? { action } : denies) }
  })
  return {
    cloud: 'public',
    editions: [],
    mode: 'enforce',
    hash: '',
    entries,
    tree: treeOf(entries),
    upstream: [],
    pins: new Map(),
    privateRanges: CidrSet.of([]),
    unlisted: new HostTree(),
    known: new HostTree(),
    groups: [],
  }
}

const request = fc
  .tuple(host, fc.constantFrom(...PORTS), fc.option(fc.constantFrom(...PATHS), { nil: undefined }), fc.constantFrom(...METHODS))
  .map(([host, port, path, method]): EgressRequest => {
    const asked = { host: authorityOf(host).host, port }
    return path === undefined ? asked : { ...asked, http: { method, path } }
  })

const REQUESTS_EACH = 20

/** A path that reads in two ways is refused under a path rule; the oracle knows nothing of that. */
const AMBIGUOUS = new Set(['/x/../y', '/x%2fy', '/x//y'])

describe('the matcher', () => {
  fuzz(
    'decides as the sentences on precedence say, read plainly over every pattern',
    fc.property(
      fc.array(entry, { maxLength: 8 }),
      fc.array(request, { minLength: REQUESTS_EACH, maxLength: REQUESTS_EACH }),
      (drawn, requests) => {
        const policy = policyOf(drawn)
        for (const one of requests) {
          const decision = decide(policy, one)
          const plain = plainVerdict(policy, one)
          if (decision.verdict === plain) continue
          const unclear = decision.verdict === 'deny' && decision.reason === 'path_not_canonical'
          if (!unclear || !AMBIGUOUS.has(one.http?.path ?? '')) expect({ one, decision }).toBe(plain)
        }
      },
    ),
    { casesEach: REQUESTS_EACH },
  )
})
