import { Counter, Registry } from 'prom-client'
import { describe, expect, it } from 'vitest'
import { Tallies } from '../../../src/io/telemetry/tallies.ts'

function makeCounter() {
  const registry = new Registry()
  const counter = new Counter({ name: 'seen_total', help: 'seen', labelNames: ['host', 'kind'], registers: [registry] })
  return { registry, counter, tallies: new Tallies(counter) }
}

async function seriesOf(registry: Registry): Promise<readonly string[]> {
  const text = await registry.metrics()
  return text.split('\n').filter((line) => line.startsWith('seen_total'))
}

describe('tallies', () => {
  it('are on the page that Prometheus asks for, each time with what was counted until then', async () => {
    const { registry, tallies } = makeCounter()
    const series = tallies.begin('a x', { host: 'a', kind: 'x' })
    series.count += 2
    expect(await seriesOf(registry)).toEqual(['seen_total{host="a",kind="x"} 2'])
    expect(await seriesOf(registry), 'nothing is counted twice').toEqual(['seen_total{host="a",kind="x"} 2'])
    series.count++
    expect(await seriesOf(registry)).toEqual(['seen_total{host="a",kind="x"} 3'])
  })

  it('are in the plain data that a worker tells the primary', async () => {
    const { registry, tallies } = makeCounter()
    tallies.begin('a x', { host: 'a', kind: 'x' }).count++
    expect(await registry.getMetricsAsJSON()).toMatchObject([
      { name: 'seen_total', values: [{ value: 1, labels: { host: 'a', kind: 'x' } }] },
    ])
  })

  it('add to what the counter was told directly', async () => {
    const { registry, counter, tallies } = makeCounter()
    counter.inc({ host: 'a', kind: 'x' })
    tallies.begin('a x', { host: 'a', kind: 'x' }).count++
    expect(await seriesOf(registry)).toEqual(['seen_total{host="a",kind="x"} 2'])
  })

  it('find the same series by its key until it is forgotten', () => {
    const { tallies } = makeCounter()
    const series = tallies.begin('a x', { host: 'a', kind: 'x' })
    expect(tallies.find('a x')).toBe(series)
    expect(tallies.find('a')).toBeUndefined()
    tallies.clear()
    expect(tallies.find('a x')).toBeUndefined()
  })

  it('lose nothing when all series are forgotten', async () => {
    const { registry, tallies } = makeCounter()
    tallies.begin('a x', { host: 'a', kind: 'x' }).count++
    tallies.clear()
    tallies.begin('a x', { host: 'a', kind: 'x' }).count++
    expect(await seriesOf(registry)).toEqual(['seen_total{host="a",kind="x"} 2'])
  })

  it('remove one series with what it had counted, and no other', async () => {
    const { registry, tallies } = makeCounter()
    tallies.begin('a x', { host: 'a', kind: 'x' }).count++
    tallies.begin('b x', { host: 'b', kind: 'x' }).count++
    await seriesOf(registry)
    tallies.remove('a x')
    tallies.remove('never seen')
    expect(await seriesOf(registry)).toEqual(['seen_total{host="b",kind="x"} 1'])
  })
})
