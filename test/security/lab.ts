import { expect } from 'vitest'
import type { AuditEvent } from '../../src/core/audit-event.ts'
import { startGateway, type TestGateway } from '../support/gateway.ts'
import { readAnswers, type WireAnswer } from '../support/http-answers.ts'
import { Origin } from '../support/origin.ts'
import { RawClient } from '../support/raw-client.ts'

/**
 * A gateway with one origin behind it, under names that are pinned there:
 * `allowed.test` on 80, 8080 and 7 (as bytes), `1password.test`, and `paths.test`, of which only `/team/*` is allowed.
 */
export interface Lab {
  readonly gateway: TestGateway
  readonly origin: Origin
  stop(): Promise<void>
}

export interface LabOptions {
  /** More YAML, at the top level. */
  readonly config?: string
  readonly rules?: readonly string[]
  readonly pins?: readonly string[]
  readonly origin?: Origin
}

export async function startLab({ config = '', rules = [], pins = [], origin }: LabOptions = {}): Promise<Lab> {
  const there = origin ?? (await Origin.answering('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'))
  const allRules = [
    '{ name: allowed, hosts: [allowed.test, 1password.test, _dmarc.allowed.test], ports: [80, 8080] }',
    '{ name: bytes, hosts: [allowed.test], ports: [7], protocol: any }',
    '{ name: paths, hosts: [paths.test], ports: [80], paths: ["/team/*"], methods: [GET, HEAD] }',
    ...rules,
  ]
  const allPins = [
    ...['allowed.test', '1password.test', 'paths.test'].map((name) => `${name}: "127.0.0.1:${there.port}"`),
    ...pins,
  ]
  const gateway = await startGateway(
    `features: ${NO_FEATURES}\nrules:\n${allRules.map((rule) => `  - ${rule}\n`).join('')}destinations: { pin: { ${allPins.join(', ')} } }\n${config}`,
  )
  return {
    gateway,
    origin: there,
    stop: async () => {
      await gateway.stop()
      await there.stop()
    },
  }
}

/** The documented allowlist has no part in these tests. */
export const NO_FEATURES = `{ ${[
  'azure',
  'studio',
  'compute',
  'storage',
  'container-registry',
  'microsoft-container-registry',
  'prebuilt-images',
  'python',
  'python-files',
  'r',
  'vscode',
  'diagnostics',
]
  .map((feature) => `${feature}: false`)
  .join(', ')} }`

export interface Outcome {
  /** Everything that came back. */
  readonly text: string
  readonly answers: readonly WireAnswer[]
  /** Audit lines of this connection. */
  readonly events: readonly AuditEvent[]
}

/** Sends bytes on a connection of their own, waits until the gateway closes it, and collects what it said and logged. */
export async function attack(lab: Lab, bytes: string | Uint8Array, lines = 1): Promise<Outcome> {
  const client = await RawClient.connect(lab.gateway.port)
  try {
    client.send(bytes)
    const text = await client.untilClosed()
    return { text, answers: readAnswers(text), events: await eventsOf(lab, client, lines) }
  } finally {
    client.close()
  }
}

export function eventsOf(lab: Lab, client: RawClient, lines = 1): Promise<AuditEvent[]> {
  const port = client.localPort
  return lab.gateway.audit(lines, (event) => event.clientPort === port)
}

/** What a refusal looks like from outside: one answer that names the reason, one audit line that does, and the end. */
export async function expectRefused(lab: Lab, bytes: string | Uint8Array, status: number, reason: string): Promise<Outcome> {
  const before = lab.origin.connections
  const outcome = await attack(lab, bytes)
  expect(outcome.answers.map((answer) => [answer.status, answer.reasonPhrase, answer.fields.get('sallyport-reason')])).toEqual([
    [status, reason, reason],
  ])
  expect(outcome.events.map((event) => event.reason)).toEqual([reason])
  expect(lab.origin.connections, 'connections to the origin').toBe(before)
  return outcome
}
