import { type ListenAddress, parseListenAddress } from './listen-address.ts'
import { type Cidr, CidrSet, parseCidr } from './names/cidr.ts'
import { type Hostname, parseHostname } from './names/hostname.ts'
import { type IpAddress, parseIp } from './names/ip.ts'
import { REGION_NAME } from './policy/catalogue.ts'
import { MODES } from './policy/enforce.ts'
import { CLOUDS, PROTOCOLS } from './policy/entry.ts'
import { parseHostPattern } from './policy/host-pattern.ts'
import { ECH_SETTINGS } from './policy/judge-opening.ts'
import { parsePathPattern } from './policy/path-pattern.ts'
import type { Pin } from './policy/policy.ts'
import type { Result } from './result.ts'
import { z } from './schema.ts'

/**
 * The config file: every key with its unit, default and meaning. The JSON Schema, the reference in `docs/` and the editor's
 * completion are made from this one place. Text becomes domain types here and nowhere later.
 */

/** A string in its own notation, read once into a domain type. */
function parsed<T>(parse: (text: string) => Result<T, string>, doc: string) {
  return z
    .string()
    .describe(doc)
    .transform((text, context): T => {
      const result = parse(text)
      if (result.ok) return result.value
      context.addIssue({ code: 'custom', message: result.error })
      return z.NEVER
    })
}

const cidr = parsed(parseCidr, 'an address range, as in `10.0.0.0/8`, or one address')
const cidrSet = (doc: string) =>
  z
    .array(cidr)
    .prefault([])
    .transform((cidrs: readonly Cidr[]) => CidrSet.of(cidrs))
    .describe(doc)

export const RELAY_SETTINGS = ['auto', 'portable'] as const
export type RelaySetting = (typeof RELAY_SETTINGS)[number]

const port = z.int().min(1).max(65535)
const seconds = (value: number, doc: string) => z.number().min(0).max(31_536_000).default(value).describe(`${doc} (seconds)`)
const deadline = (value: number, doc: string) => z.number().positive().max(31_536_000).default(value).describe(`${doc} (seconds)`)
const count = (value: number, doc: string) => z.int().min(1).default(value).describe(doc)
const bytes = (value: number, doc: string) => z.int().min(1024).default(value).describe(`${doc} (bytes)`)

const listen = (value: string, doc: string) => {
  const address = parsed(parseListenAddress, '`address:port`; port 0 takes any free one')
  return z
    .union([address, z.strictObject({ address }).transform((object): ListenAddress => object.address)])
    .prefault(value)
    .describe(doc)
}

/** In normal form, so that two spellings of one host cannot both be pinned. */
function parsePinnedHost(text: string): Result<Hostname, string> {
  const host = parseHostname(text)
  if (!host.ok || host.value === text) return host
  return { ok: false, error: `\`${text}\` is not in normal form; use \`${host.value}\`` }
}

/** `10.20.0.7`, `10.20.0.7:8443` or `[2001:db8::1]:443`. */
function parsePin(text: string): Result<Pin, string> {
  const bare = parseIp(text)
  if (bare !== undefined) return { ok: true, value: { address: bare } }
  const full = parseListenAddress(text)
  if (full.ok && full.value.port > 0) return { ok: true, value: { address: full.value.address, port: full.value.port } }
  return { ok: false, error: `\`${text}\` is not an address; write \`10.20.0.7\`, \`10.20.0.7:8443\` or \`[2001:db8::1]:443\`` }
}

/** A DNS server: an address, with a port where it is not 53. */
function parseDnsServer(text: string): Result<{ readonly address: IpAddress; readonly port: number }, string> {
  const pin = parsePin(text)
  if (!pin.ok) return { ok: false, error: `\`${text}\` is not an address; write \`10.20.0.4\` or \`10.20.0.4:5353\`` }
  return { ok: true, value: { address: pin.value.address, port: pin.value.port ?? 53 } }
}

const name = z
  .string()
  .max(64)
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]*$/, 'a name is made of letters, digits, `.`, `_` and `-`')
const azureName = (doc: string) =>
  z
    .array(
      z
        .string()
        .regex(
          /^(?:\*|[A-Za-z0-9](?:[A-Za-z0-9-]{1,61}[A-Za-z0-9]))$/,
          'an account or registry name is 3 to 63 letters, digits and inner hyphens',
        ),
    )
    .default([])
    .transform((names) => names.map((text) => text.toLowerCase()))
    .describe(doc)

export const ruleSchema = z.strictObject({
  name: name.describe('unique; the entry id becomes `rule/NAME`'),
  hosts: z
    .array(parsed(parseHostPattern, 'a host, `*.suffix` or `*suffix`'))
    .min(1)
    .describe('`pypi.org`, `*.example.com` (any depth under it), `*example.com` (that and any depth under it), or an IP literal'),
  ports: z.array(port).min(1).optional().describe('an allow rule without ports means 80 and 443, a deny rule every port'),
  protocol: z
    .enum(PROTOCOLS)
    .optional()
    .describe('what a tunnel may carry: `http` (default on port 80), `tls` (default elsewhere) or `any`'),
  paths: z
    .array(parsed(parsePathPattern, 'a path'))
    .min(1)
    .optional()
    .describe('`/a/b/*` is everything under it, `*` elsewhere stands within one segment'),
  methods: z
    .array(z.string().regex(/^[A-Z][A-Z-]*$/, 'a method is written in capitals'))
    .min(1)
    .optional()
    .describe('only these HTTP methods'),
  inspect: z
    .literal('always')
    .optional()
    .describe('end TLS here although no path or method needs it, so that the Host inside is checked too'),
  action: z.enum(['allow', 'deny']).default('allow').describe('a matching deny rule beats every allow'),
  mode: z.literal('report').optional().describe('of a deny rule: only report what it would refuse'),
  quiet: z
    .boolean()
    .optional()
    .describe('of a deny rule: what it refuses is expected, so it is logged as ever and counted apart, where no alert looks'),
  destinations: z.array(cidr).min(1).optional().describe('ranges outside the public internet that these hosts may resolve into'),
})
export type Rule = z.output<typeof ruleSchema>

const limits = z.strictObject({
  headSeconds: deadline(10, 'from the first byte of a request to the end of its head'),
  openingSeconds: deadline(10, 'from the answer to CONNECT to the first whole opening inside the tunnel'),
  dialSeconds: deadline(10, 'resolving and connecting, over all addresses'),
  originSeconds: deadline(300, 'waiting for an origin, or a client, to go on with a plain-HTTP exchange'),
  tunnelIdleSeconds: seconds(3600, 'a tunnel without a byte either way; 0 is without limit'),
  tunnelLifetimeSeconds: seconds(0, 'a tunnel altogether; 0 is without limit'),
  keepAliveSeconds: deadline(60, 'a client connection between two requests'),
  originKeepAliveSeconds: deadline(15, 'an origin connection between two requests'),
  drainDelaySeconds: seconds(0, 'accepting on after SIGTERM, while `/readyz` says 503'),
  drainSeconds: seconds(300, 'letting tunnels end by themselves after that'),
  connections: count(25_000, 'client connections altogether'),
  tunnels: count(20_000, 'tunnels altogether'),
  tunnelsPerClient: count(2_000, 'tunnels of one client address'),
  requestsPerSecondPerClient: count(200, 'requests of one client address, with a burst of twice as many'),
  headBytes: bytes(16_384, 'header fields of a request'),
  headFields: count(200, 'header fields of a request'),
  targetBytes: bytes(8_192, 'target of a request'),
  heldBytes: bytes(131_072, 'bytes held that a client sends before its tunnel stands'),
})

export const configSchema = z.strictObject({
  cloud: z.enum(CLOUDS).default('public').describe('the Azure cloud the workspace is in'),
  editions: z.array(z.string()).min(1).default(['2021-07-29']).describe('editions of the documented allowlist, by date'),
  features: z.record(z.string(), z.boolean()).default({}).describe('groups of documented hosts, switched on or off by name'),
  workspace: z
    .strictObject({
      regions: z
        .array(z.string().regex(REGION_NAME, 'a region is written as in `eastus2`'))
        .default([])
        .describe('regions of the workspace'),
      storageAccounts: azureName('storage accounts of the workspace; `"*"` is every account there is'),
      containerRegistries: azureName('container registries of the workspace; `"*"` is every registry there is'),
      acknowledgeMultiTenant: z.boolean().default(false).describe('needed for `"*"`: data can leave to anybody\'s account'),
      privateEndpoints: cidrSet("ranges that the workspace's own names (studio, compute, storage, registry) may resolve into"),
    })
    .prefault({})
    .describe('what the documented hosts with a blank in them are filled from'),
  mode: z.enum(MODES).default('enforce').describe('`report` lets would-be denials through, logged and counted'),
  listen: z
    .strictObject({
      proxy: listen('127.0.0.1:3128', 'the explicit proxy'),
      metrics: listen('127.0.0.1:9464', '`/metrics`, `/livez` and `/readyz`, nothing else'),
      admin: listen('127.0.0.1:9465', '`/api/v1/...`; loopback only'),
    })
    .prefault({})
    .describe('where the gateway listens; the key names the listener in log and metrics'),
  clients: z
    .strictObject({
      allow: z
        .array(cidr)
        .prefault(['127.0.0.0/8', '::1/128'])
        .transform((cidrs: readonly Cidr[]) => CidrSet.of(cidrs))
        .describe('address ranges that may use the gateway'),
      files: z
        .array(z.enum(['ca.pem']))
        .default([])
        .describe(
          'files that the proxy listener hands to clients over plain HTTP: `ca.pem`, the CA of the inspection, as `http://GATEWAY:3128/ca.pem`',
        ),
    })
    .prefault({})
    .describe('who may use the gateway, and what it hands them'),
  rules: z.array(ruleSchema).prefault([]).describe('what the operator adds to the documented allowlist, or takes from it'),
  destinations: z
    .strictObject({
      privateRanges: cidrSet("ranges outside the public internet for every entry; a rule's own `destinations` is better"),
      pin: z
        .record(parsed(parsePinnedHost, 'a host'), parsed(parsePin, 'an address, with or without a port'))
        .prefault({})
        .describe('dial here instead of asking DNS; does not list the host'),
    })
    .prefault({})
    .describe('where allowed hosts may lead, beyond the public internet'),
  dns: z
    .strictObject({
      servers: z.array(parsed(parseDnsServer, 'an address')).prefault([]).describe("instead of the system's"),
      timeoutMs: z.int().min(50).max(60_000).default(2000).describe('one try of one server (milliseconds)'),
      cacheEntries: count(10_000, 'names kept'),
      minTtlSeconds: seconds(5, 'an answer is kept at least so long'),
      maxTtlSeconds: seconds(300, 'and at most so long'),
    })
    .prefault({})
    .describe('how names are looked up, and for how long an answer is kept'),
  inspection: z
    .strictObject({
      caCertificate: z
        .string()
        .min(1)
        .default('state/ca.pem')
        .describe('certificate of the inspection CA, PEM; `sallyport ca init` makes one'),
      caKey: z.string().min(1).default('state/ca.key').describe('its private key, PEM, readable by its owner alone'),
      upstreamCa: z
        .array(z.string().min(1))
        .default([])
        .describe("PEM files of CAs that origins may be signed by, beside the system's"),
      ech: z.enum(ECH_SETTINGS).default('pass').describe('`refuse` closes every tunnel whose ClientHello has the ECH extension'),
      certificates: count(1_000, 'certificates kept for hosts'),
    })
    .prefault({})
    .describe('TLS ended at the gateway, only where a path or method rule needs it'),
  admin: z
    .strictObject({
      tokenFile: z
        .string()
        .min(1)
        .optional()
        .describe('file with the bearer token for changing calls, and for every call that does not come over loopback'),
      hosts: z
        .array(parsed(parseHostname, 'a host'))
        .default([])
        .describe('names the admin API is asked under, besides addresses and `localhost`'),
    })
    .prefault({})
    .describe('the admin API'),
  reload: z
    .strictObject({
      watch: z.boolean().default(true).describe('load again when the config or a file it names changes'),
      tunnels: z
        .enum(['recheck', 'keep'])
        .default('recheck')
        .describe('whether a new policy closes open tunnels that it no longer allows'),
    })
    .prefault({})
    .describe('what happens when the config changes'),
  stateDirectory: z.string().min(1).default('state').describe("the gateway's own files"),
  relay: z
    .enum(RELAY_SETTINGS)
    .default('auto')
    .describe(
      'what moves the bytes of tunnels: `auto` is the kernel relay where it was built at install, `portable` is Node alone',
    ),
  workers: z
    .union([z.int().min(1).max(64), z.literal('auto')])
    .default(1)
    .describe('processes that share the work; `auto` is one for each core, as far as the CPU quota goes'),
  audit: z
    .strictObject({
      file: z.string().min(1).default('-').describe('`-` is standard output'),
      events: z.enum(['all', 'denied']).default('all').describe('`denied` leaves out what was allowed'),
      query: z.enum(['drop', 'keep']).default('drop').describe('whether a logged path keeps its query'),
      paths: z.enum(['keep', 'drop']).default('keep').describe('`drop` logs no paths at all'),
      clients: z
        .enum(['keep', 'hash', 'drop'])
        .default('keep')
        .describe('addresses of clients: `hash` logs a pseudonym instead, `drop` nothing; both leave out the port'),
      hashKeyFile: z
        .string()
        .min(1)
        .optional()
        .describe('key for `clients: hash`, so that several gateways agree; without it each start makes one of its own'),
      bufferBytes: bytes(8_388_608, 'lines held while the log cannot be written; past that they are dropped and counted'),
    })
    .prefault({})
    .describe('the log of requests, one JSON line each'),
  metrics: z
    .strictObject({ deniedHosts: count(200, 'hosts with a denial series of their own') })
    .prefault({})
    .describe('bounds of the metrics'),
  answers: z
    .strictObject({ hints: z.enum(['full', 'code']).default('full').describe('`code` tells clients the reason code alone') })
    .prefault({})
    .describe('what a refused client is told'),
  limits: limits.prefault({}).describe('deadlines and bounds; each is of the whole gateway'),
})

/** The config with every default filled in. */
export type Config = z.output<typeof configSchema>
export type Limits = Config['limits']

/** Keys that are planned and not there yet: refused by name, so that nobody relies on what does nothing. */
export const NOT_AVAILABLE_YET: readonly string[] = [
  'groups',
  'hooks',
  'include',
  'serviceTags',
  'subnet',
  'upstream',
  'listen.*.proxyProtocol',
  'listen.*.tls',
  'listen.transparent',
  'rules.*.addresses',
  'rules.*.expires',
  'rules.*.groups',
  'rules.*.owner',
  'rules.*.serviceTags',
  'rules.*.ticket',
  'workspace.aksClusters',
  'workspace.federationHosts',
  'workspace.id',
  'workspace.keyVaults',
  'workspace.managedStorage',
  'audit.onFailure',
]
