// What it costs to match destinations by address: 100,000 prefixes in memory, and a decision.
//
//   npm run build && node --expose-gc bench/addresses.mjs [ServiceTags_Public_YYYYMMDD.json]
//
// Without a file the prefixes are made up: 85,000 of IPv4 and 15,000 of IPv6, nested as those of service tags are. With one, every
// range of every tag is taken. Fails (exit 1) where they take MEMORY_LIMIT_MB or more, or a decision costs more than LIMIT times one
// among 100 prefixes.

import { readFileSync } from 'node:fs'
import { performance } from 'node:perf_hooks'
import { AddressRanges, readRanges } from '../dist/core/names/address-ranges.js'
import { addressHost } from '../dist/core/names/authority.js'
import { CidrSet, parseCidr } from '../dist/core/names/cidr.js'
import { ipv4FromValue, ipv6FromWords } from '../dist/core/names/ip.js'
import { treeOf } from '../dist/core/policy/compile.js'
import { decide } from '../dist/core/policy/decide.js'
import { HostTree } from '../dist/core/policy/host-tree.js'

const PREFIXES = 100_000
const TAGS = 100
const MEMORY_LIMIT_MB = 20
const LIMIT = 8
const ROUNDS = 9
const DECISIONS_PER_ROUND = 200_000

/** A fixed sequence, so that two runs ask the same (Lehmer's generator with Park and Miller's constants). */
function sequence(seed) {
  let state = seed
  return (below) => {
    state = (state * 48_271) % 2_147_483_647
    return state % below
  }
}

function must(result) {
  if (!result.ok) throw new Error(result.error)
  return result.value
}

/** A range of this length around an address. */
function around(ip, length) {
  const parsed = parseCidr(`${ip.text}/${length}`)
  return parsed.ok ? parsed.value : must(parseCidr(/use `([^`]+)`/.exec(parsed.error)[1]))
}

function madeUp(count) {
  const next = sequence(7)
  return Array.from({ length: count }, (_, at) => {
    if (at % 20 < 17) return around(ipv4FromValue((next(220) + 1) * 0x1000000 + next(0x1000000)), 16 + next(17))
    return around(ipv6FromWords([0x26030000 + next(0x4000), next(0x10000) * 0x10000, next(0x7fffffff), 0]), 32 + next(93))
  })
}

function tagsOf(cidrs) {
  const size = Math.ceil(cidrs.length / TAGS)
  return Array.from({ length: TAGS }, (_, at) => AddressRanges.of(cidrs.slice(at * size, (at + 1) * size)))
}

function policyOf(tags) {
  const entries = tags.map((ranges, at) => ({
    id: `rule/${at}`,
    origin: 'rule',
    action: 'allow',
    patterns: [{ host: { kind: 'network', name: `tag:${at}`, ranges }, ports: [443] }],
  }))
  return {
    cloud: 'public',
    editions: [],
    mode: 'enforce',
    hash: '',
    entries,
    tree: treeOf(entries),
    pins: new Map(),
    privateRanges: CidrSet.of([]),
    unlisted: new HostTree(),
    known: new HostTree(),
  }
}

/** Heap and typed arrays, which are outside of it. */
function megabytes() {
  globalThis.gc?.()
  globalThis.gc?.()
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return (heapUsed + arrayBuffers) / 1e6
}

function measure(policy, requests) {
  const passes = Math.ceil(DECISIONS_PER_ROUND / requests.length)
  let allowed = 0
  const start = performance.now()
  for (let pass = 0; pass < passes; pass++)
    for (const request of requests) if (decide(policy, request).verdict === 'allow') allowed++
  const elapsed = performance.now() - start
  if (allowed !== passes * requests.length) throw new Error('not every address was allowed')
  return (elapsed * 1e6) / (passes * requests.length)
}

function requestsFor(cidrs, count) {
  const next = sequence(11)
  return Array.from({ length: count }, () => ({ host: addressHost(cidrs[next(cidrs.length)].network), port: 443 }))
}

function subject(cidrs) {
  const before = megabytes()
  const started = performance.now()
  const policy = policyOf(tagsOf(cidrs))
  const builtMs = performance.now() - started
  return { policy, builtMs, memory: megabytes() - before, size: cidrs.length, requests: requestsFor(cidrs, 1_000), times: [] }
}

const [file] = process.argv.slice(2)
let all
if (file === undefined) all = madeUp(PREFIXES)
else {
  const { values } = JSON.parse(readFileSync(file, 'utf8'))
  all = readRanges(values.flatMap(({ properties }) => properties.addressPrefixes)).cidrs()
}
const few = all.slice(0, 100)
const subjects = [few, all].map(subject)
for (let round = 0; round <= ROUNDS; round++)
  for (const one of subjects) {
    const time = measure(one.policy, one.requests)
    // The first round is for the compiler.
    if (round > 0) one.times.push(time)
  }
for (const { size, memory, builtMs, times } of subjects)
  process.stdout.write(
    `${size.toLocaleString('en').padStart(9)} prefixes  ${memory.toFixed(1).padStart(5)} MB  sorted in ${builtMs.toFixed(0)} ms  ${Math.min(...times).toFixed(0)} ns a decision\n`,
  )
const [small, large] = subjects
const ratio = Math.min(...large.times) / Math.min(...small.times)
process.stdout.write(
  `Node ${process.version}, best of ${ROUNDS} rounds; ${ratio.toFixed(1)} times the cost among 100 (at most ${LIMIT})\n`,
)
if (large.memory >= MEMORY_LIMIT_MB || ratio > LIMIT) process.exitCode = 1
