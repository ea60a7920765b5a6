import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { writeReport } from '../../src/io/subnet/report-file.ts'
import { CrewUnderTest } from '../support/crew-under-test.ts'
import { waitFor } from '../support/gateway.ts'

describe('two workers and the packets that the rules dropped', () => {
  let crew: CrewUnderTest
  beforeAll(async () => {
    crew = await CrewUnderTest.start('subnet: { ranges: ["10.0.1.0/24"] }\n')
  })
  afterAll(() => crew?.stop())

  it('are told of once, by the primary: one counter, one audit line', async () => {
    const state = join(crew.program.folder, 'state')
    mkdirSync(state, { recursive: true })
    await writeReport(state, {
      version: 1,
      timeMs: Date.now(),
      rulesInForce: true,
      packets: [{ proto: 'udp', port: '5831', packets: 12 }],
      flows: [{ client: '10.0.1.7', destination: '192.0.2.1', proto: 'udp', port: 5831, packets: 12 }],
    })
    const dropped = () => crew.program.metric('sallyport_subnet_dropped_packets_total{proto="udp",port="5831"}')
    await waitFor(async () => ((await dropped()) === 12 ? true : undefined), 'the counter', 15_000)
    expect(await crew.program.metric('sallyport_subnet_rules_in_force')).toBe(1)
    expect(await crew.program.metric('sallyport_subnet_ranges')).toBe(1)
    await crew.program.audit({ kind: 'packet' }, 1)
    const told = crew.program.events().filter(({ kind }) => kind === 'packet')
    expect(told).toHaveLength(1)
    expect(told[0]).toMatchObject({
      event: 'deny',
      listener: 'subnet',
      client: '10.0.1.7',
      host: '192.0.2.1',
      port: 5831,
      reason: 'not_forwarded',
      detail: '12 packets of udp',
    })
    expect(told[0]).not.toHaveProperty('worker')
  })
})
