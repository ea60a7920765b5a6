import { once } from 'node:events'
import type { RequestListener } from 'node:http'
import type { TLSSocket } from 'node:tls'
import { expect } from 'vitest'
import type { AuditEvent } from '../../src/core/audit-event.ts'
import { startGateway, type TestGateway } from '../support/gateway.ts'
import { HttpOrigin } from '../support/http-origin.ts'
import { OpensslCa } from '../support/openssl-ca.ts'
import { Origin } from '../support/origin.ts'
import { RawClient } from '../support/raw-client.ts'
import { openTls } from '../support/tunnel-client.ts'
import { NO_FEATURES } from './lab.ts'

/**
 * A gateway with a CA, and two origins behind it. `web` speaks HTTPS for `paths.test` (only `/team/*`), `reads.test` (only GET and
 * HEAD), `always.test` (looked into although nothing needs it) and `whole.test`. `bytes` records what comes to `relayed.test`, to
 * and, on port 7 with `protocol: any`, to `any.test`.
 */
export interface InspectionLab {
  readonly gateway: TestGateway
  readonly web: HttpOrigin
  readonly bytes: Origin
  readonly ca: OpensslCa
  readonly originCa: OpensslCa
  stop(): Promise<void>
}

export interface InspectionLabOptions {
  readonly serve?: RequestListener
  readonly bytes?: Origin
  readonly rules?: readonly string[]
  readonly pins?: readonly string[]
  /** More YAML, at the top level. */
  readonly config?: string
  /** More in `inspection`. */
  readonly inspection?: string
}

const NAMES = ['paths.test', 'reads.test', 'always.test', 'whole.test']

export async function startInspectionLab(options: InspectionLabOptions = {}): Promise<InspectionLab> {
  const { rules = [], pins = [], config = '', inspection = '' } = options
  const ca = new OpensslCa('Inspection Root')
  const originCa = new OpensslCa('Origin Root')
  const web = await HttpOrigin.start(options.serve ?? ((req, res) => res.end(`origin saw ${req.url}`)), {
    tls: originCa.issue(NAMES.map((name) => `DNS:${name}`).join(',')),
  })
  const bytes = options.bytes ?? (await silentOrigin())
  const allRules = [
    '{ name: paths, hosts: [paths.test], ports: [443], paths: ["/team/*"] }',
    '{ name: reads, hosts: [reads.test], ports: [443], methods: [GET, HEAD] }',
    '{ name: always, hosts: [always.test], ports: [443], inspect: always }',
    '{ name: whole, hosts: [whole.test], ports: [443] }',
    '{ name: relayed, hosts: [relayed.test, 127.0.0.1], ports: [443], destinations: ["127.0.0.0/8"] }',
    '{ name: any, hosts: [any.test], ports: [7], protocol: any }',
    ...rules,
  ]
  const allPins = [
    ...NAMES.map((name) => `${name}: "127.0.0.1:${web.port}"`),
    ...['relayed.test', 'any.test'].map((name) => `${name}: "127.0.0.1:${bytes.port}"`),
    ...pins,
  ]
  const gateway = await startGateway(`features: ${NO_FEATURES}
rules:
${allRules.map((rule) => `  - ${rule}\n`).join('')}
destinations: { pin: { ${allPins.join(', ')} } }
inspection:
  caCertificate: "${ca.certificateFile}"
  caKey: "${ca.keyFile}"
  upstreamCa: ["${originCa.certificateFile}"]
${inspection}
${config}`)
  return {
    gateway,
    web,
    bytes,
    ca,
    originCa,
    stop: async () => {
      await gateway.stop()
      await Promise.all([web.stop(), bytes.stop()])
      ca.remove()
      originCa.remove()
    },
  }
}

/** Says nothing, and ends when its client does. */
export function silentOrigin(): Promise<Origin> {
  return Origin.start((socket) => socket.on('end', () => socket.end()))
}

/** Everything the gateway may have told an origin, to be compared before and after. */
export function seenByOrigins({ web, bytes }: InspectionLab) {
  return { asked: [...web.asked], received: bytes.text }
}

/** TLS inside a tunnel, ended by the gateway; the client believes only its CA. */
export function inspected(lab: InspectionLab, host = 'paths.test', alpn?: readonly string[]): Promise<TLSSocket> {
  return openTls(lab.gateway.port, `${host}:443`, { ca: lab.ca.pem, ...(alpn && { ALPNProtocols: [...alpn] }) })
}

/** The same, as a client that sends exactly what it is told. */
export async function inspectedRaw(lab: InspectionLab, host = 'paths.test', alpn?: readonly string[]): Promise<RawClient> {
  return new RawClient(await inspected(lab, host, alpn))
}

/** Audit lines of the requests inside a tunnel, whichever client port it has. */
export function eventsInside(lab: InspectionLab, port: number, count = 1): Promise<AuditEvent[]> {
  return lab.gateway.audit(count, (event) => event.clientPort === port && event.parent !== undefined)
}

/** The audit line of the CONNECT itself. */
export async function tunnelEvent(lab: InspectionLab, port: number): Promise<AuditEvent> {
  const [event] = await lab.gateway.audit(1, (line) => line.clientPort === port && line.kind === 'connect')
  if (event === undefined) throw new Error('no event')
  return event
}

/** How many requests of a kind ended so. */
export async function requestsCounted(lab: InspectionLab, kind: string, verdict: string, reason: string): Promise<number> {
  const line = `sallyport_requests_total{listener="proxy",kind="${kind}",verdict="${verdict}",reason="${reason}"}`
  return (await lab.gateway.metric(line)) ?? 0
}

/** Resolves once the client's connection has ended, however it ended. */
export async function closed(secure: TLSSocket): Promise<void> {
  secure.on('error', () => {})
  secure.resume()
  if (!secure.closed) await once(secure, 'close').catch(() => {})
  expect(secure.destroyed).toBe(true)
}
