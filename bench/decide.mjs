// What a decision costs, and that it does not cost more with more entries.
//
//   npm run build && node --expose-gc --max-old-space-size=4096 bench/decide.mjs
//
// The same 100 names are asked of policies of 100, 10,000 and 1,000,000 entries; the last may cost at most LIMIT times the first
// (exit 1 otherwise). Names drawn uniformly from all entries, and names that nothing lists, are reported beside it: there the
// processor's caches are what one pays for, since a million entries do not fit into them.

import { performance } from 'node:perf_hooks'
import { parseAuthority } from '../dist/core/names/authority.js'
import { CidrSet } from '../dist/core/names/cidr.js'
import { treeOf } from '../dist/core/policy/compile.js'
import { decide } from '../dist/core/policy/decide.js'
import { parseHostPattern } from '../dist/core/policy/host-pattern.js'
import { HostTree } from '../dist/core/policy/host-tree.js'

const SIZES = [100, 10_000, 1_000_000]
const LIMIT = 2
const ASKED = 100
/** Rounds over all policies in turn, so that a busy machine slows all of them; the best round of each counts. */
const ROUNDS = 9
const DECISIONS_PER_ROUND = 200_000
const UNIFORM_NAMES = 20_000

/** The pattern that stands at this place in every policy, and a name that it lists. */
function patternAt(index) {
  const base = `host-${index}.zone-${index % 997}.example.com`
  if (index % 10 === 8) return { text: `*.${base}`, name: `a.b.${base}` }
  if (index % 10 === 9) return { text: `*${base}`, name: base }
  return { text: base, name: base }
}

function must(result) {
  if (!result.ok) throw new Error(result.error)
  return result.value
}

const PORTS = [80, 443]

function policyOf(size) {
  const entries = []
  for (let index = 0; index < size; index++) {
    const host = must(parseHostPattern(patternAt(index).text))
    entries.push({ id: `rule/${index}`, origin: 'rule', action: 'allow', patterns: [{ host, ports: PORTS }] })
  }
  return {
    cloud: 'public',
    editions: [],
    mode: 'enforce',
    hash: String(size),
    entries,
    tree: treeOf(entries),
    pins: new Map(),
    privateRanges: CidrSet.of([]),
    unlisted: new HostTree(),
    known: new HostTree(),
  }
}

const requestFor = (name) => must(parseAuthority(`${name}:443`))

/** Nanoseconds a decision. */
function measure(policy, requests, verdict) {
  const passes = Math.ceil(DECISIONS_PER_ROUND / requests.length)
  let agreed = 0
  const start = performance.now()
  for (let pass = 0; pass < passes; pass++)
    for (const request of requests) if (decide(policy, request).verdict === verdict) agreed++
  const elapsed = performance.now() - start
  if (agreed !== passes * requests.length) throw new Error(`not every name got \`${verdict}\``)
  return (elapsed * 1e6) / (passes * requests.length)
}

/** A fixed sequence, so that two runs ask the same names (Lehmer's generator with Park and Miller's constants). */
function sequence(seed) {
  let state = seed
  return (below) => {
    state = (state * 48_271) % 2_147_483_647
    return state % below
  }
}

function heapMegabytes() {
  globalThis.gc?.()
  return process.memoryUsage().heapUsed / 1e6
}

const asked = Array.from({ length: ASKED }, (_, index) => requestFor(patternAt(index).name))
const unlisted = Array.from({ length: ASKED }, (_, index) => requestFor(`x${index}.host-${index}.zone-${index}.example.org`))

const subjects = SIZES.map((size) => {
  const before = heapMegabytes()
  const started = performance.now()
  const policy = policyOf(size)
  const buildMs = performance.now() - started
  const next = sequence(size)
  const uniform = Array.from({ length: Math.min(size, UNIFORM_NAMES) }, () => requestFor(patternAt(next(size)).name))
  return { size, policy, uniform, buildMs, heap: heapMegabytes() - before, same: [], spread: [], missing: [] }
})

for (let round = 0; round <= ROUNDS; round++) {
  for (const subject of subjects) {
    const times = [
      measure(subject.policy, asked, 'allow'),
      measure(subject.policy, subject.uniform, 'allow'),
      measure(subject.policy, unlisted, 'deny'),
    ]
    // The first round is for the compiler.
    if (round === 0) continue
    subject.same.push(times[0])
    subject.spread.push(times[1])
    subject.missing.push(times[2])
  }
}

const best = (times) => Math.min(...times)
const ns = (value) => `${value.toFixed(0)} ns`
const rows = [
  ['entries', `same ${ASKED} names`, 'uniform names', 'unlisted names', 'heap', 'built in'],
  ...subjects.map(({ size, same, spread, missing, heap, buildMs }) => [
    size.toLocaleString('en'),
    ns(best(same)),
    ns(best(spread)),
    ns(best(missing)),
    `${heap.toFixed(1)} MB`,
    `${buildMs.toFixed(0)} ms`,
  ]),
]
const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)))
for (const row of rows) process.stdout.write(`${row.map((cell, column) => cell.padStart(widths[column])).join('  ')}\n`)

const ratio = best(subjects.at(-1).same) / best(subjects[0].same)
process.stdout.write(`\nNode ${process.version}, best of ${ROUNDS} rounds\n`)
process.stdout.write(
  `same names, ${SIZES.at(-1).toLocaleString('en')} to ${SIZES[0]} entries: ${ratio.toFixed(2)} times (at most ${LIMIT})\n`,
)
if (ratio > LIMIT) process.exitCode = 1
