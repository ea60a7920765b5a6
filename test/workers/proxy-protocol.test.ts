import { writeFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { ShownWorker } from '../support/crew-under-test.ts'
import { waitFor } from '../support/gateway.ts'
import { httpAnswer, Origin } from '../support/origin.ts'
import { type ProgramUnderTest, startProgram } from '../support/program-under-test.ts'
import { proxyLine, v2Header } from '../support/proxy-header.ts'
import { RawClient } from '../support/raw-client.ts'

const ECHO = 'origin.test:7'
const CLIENT = '198.51.100.7'

/** Version 2 with a source in `198.51.100.0/24`. */
const v2From = (last: number, port: number) =>
  v2Header(0x21, 0x11, Buffer.from([198, 51, 100, last, 192, 0, 2, 1, port >> 8, port & 255, 1, 187]))

describe('two workers behind a load balancer', () => {
  let origin: Origin
  let program: ProgramUnderTest

  const config = (allowed: string) => `
listen:
  proxy: { address: "127.0.0.1:0", proxyProtocol: { from: ["127.0.0.1"] } }
  metrics: "127.0.0.1:0"
  admin: "127.0.0.1:0"
workers: 2
reload: { watch: false }
clients: { allow: ["${allowed}"] }
rules: [{ name: origin, hosts: [origin.test], ports: [80, 7], protocol: any }]
destinations: { pin: { origin.test: "127.0.0.1:${origin.port}" } }
limits: { requestsPerSecondPerClient: 1000 }
`

  beforeAll(async () => {
    origin = await Origin.answering(httpAnswer('ok'))
    program = await startProgram(config(CLIENT))
  })
  afterAll(async () => {
    await program?.stop()
    await origin?.stop()
  })

  /** What a request behind this header is answered, and where it was served. */
  async function send(header: string | Uint8Array): Promise<string> {
    const client = await RawClient.connect(program.port('proxy'))
    client.send(
      Buffer.concat([
        Buffer.from(header as string, 'latin1'),
        Buffer.from('GET http://origin.test/ HTTP/1.1\r\nHost: origin.test\r\nConnection: close\r\n\r\n'),
      ]),
    )
    await client.untilClosed()
    client.close()
    return client.text.split('\r\n')[0] ?? ''
  }

  it('take the client from the header, both versions, each of them', async () => {
    const tunnels: RawClient[] = []
    const onEach = async () => {
      const { workers } = (await (await program.ask('admin', '/api/v1/status')).json()) as { workers: readonly ShownWorker[] }
      return workers.length === 2 && workers.every(({ tunnels }) => tunnels >= 2)
    }
    let port = 41_000
    await waitFor(async () => {
      for (const header of [proxyLine(CLIENT, port++), v2From(7, port++)]) {
        const client = await RawClient.connect(program.port('proxy'))
        tunnels.push(client)
        client.send(
          Buffer.concat([
            Buffer.from(header as string, 'latin1'),
            Buffer.from(`CONNECT ${ECHO} HTTP/1.1\r\nHost: ${ECHO}\r\n\r\n`),
          ]),
        )
        expect(await client.until((text) => text.includes('\r\n\r\n'))).toMatch(/^HTTP\/1\.1 200 /)
      }
      return (await onEach()) ? true : undefined
    }, 'two tunnels on each worker')
    for (const client of tunnels) client.close()
    const told = await program.audit({ kind: 'connect', client: CLIENT }, tunnels.length)
    expect(told.map(({ clientPort }) => clientPort).toSorted()).toEqual(tunnels.map((_, index) => 41_000 + index))
  })

  it('refuse a client that may not use the gateway, and a connection without a header', async () => {
    const before = program.events().length
    expect(new Set(await Promise.all(Array.from({ length: 8 }, (_, index) => send(v2From(8, 42_000 + index)))))).toEqual(
      new Set(['HTTP/1.1 403 client_not_allowed']),
    )
    expect(new Set(await Promise.all(Array.from({ length: 8 }, () => send(''))))).toEqual(
      new Set(['HTTP/1.1 400 malformed_request']),
    )
    await program.audit({}, before + 16)
    const reasons = program
      .events()
      .slice(before)
      .map(({ reason, client }) => `${reason} ${client}`)
    expect(reasons.filter((one) => one === 'client_not_allowed 198.51.100.8')).toHaveLength(8)
    expect(reasons.filter((one) => one === 'malformed_request 127.0.0.1')).toHaveLength(8)
  })

  it('judge by the header after a reload too', async () => {
    writeFileSync(program.configFile, config('198.51.100.8'))
    program.signal('SIGHUP')
    await waitFor(async () => {
      const answers = new Set(await Promise.all(Array.from({ length: 8 }, (_, index) => send(v2From(8, 43_000 + index)))))
      return answers.size === 1 && answers.has('HTTP/1.1 200 OK') ? true : undefined
    }, 'both workers to know the new clients')
    expect(await send(proxyLine(CLIENT, 43_100))).toBe('HTTP/1.1 403 client_not_allowed')
  })
})
