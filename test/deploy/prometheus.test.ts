import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { Metrics } from '../../src/io/telemetry/metrics.ts'
import { waitFor } from '../support/gateway.ts'
import { CHART, ROOT } from '../support/helm.ts'
import { requireProgram } from '../support/program.ts'
import { Prometheus } from '../support/prometheus.ts'
import { run } from '../support/run.ts'
import { drawDashboard, type PanelResult } from './draw-dashboard.ts'
import { MixedTraffic } from './traffic.ts'

/**
 * A real Prometheus scrapes two running gateways under mixed traffic, and is asked everything that the dashboards and alerts ask.
 * With DRAW_PANELS=FOLDER the answers are drawn there, for the docs.
 */

/** Panels without a series in this run, and why; a test keeps the list honest. */
const EXPECTED_EMPTY: Readonly<Record<string, string>> = {}

/** Metrics that stand on no dashboard and in no alert, and why. */
const NOT_SHOWN: Readonly<Record<string, string>> = {}

interface Target {
  readonly expr: string
  readonly legendFormat?: string
  readonly instant?: boolean
  readonly datasource: { readonly type: string }
}
interface Panel {
  readonly id: number
  readonly type: string
  readonly title: string
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number }
  readonly fieldConfig?: { readonly defaults: { readonly unit?: string } }
  readonly targets?: readonly Target[]
  readonly panels?: readonly Panel[]
}
const dashboards = ['overview', 'denials'].map((name) => {
  const { title, panels } = JSON.parse(readFileSync(join(CHART, 'dashboards', `${name}.json`), 'utf8'))
  return { name, title, panels: panels.flatMap((panel: Panel) => [panel, ...(panel.panels ?? [])]) as Panel[] }
})
const rules: readonly { alert: string; expr: string }[] = parse(
  readFileSync(join(CHART, 'alerts', 'sallyport.yaml'), 'utf8'),
).groups.flatMap(({ rules }: { rules: object[] }) => rules)

/** What Grafana fills in, for a range of some seconds. */
function filledIn(expr: string): string {
  return expr
    .replaceAll('$namespace', '.*')
    .replaceAll('$pod', '.*')
    .replaceAll('$__rate_interval', '4s')
    .replaceAll('$__range', '60s')
}

const program = requireProgram('prometheus')
const promtool = requireProgram('promtool', 'prometheus')
const ROUNDS = 10

describe.skipIf(program === undefined)('a real Prometheus', () => {
  let traffic: MixedTraffic
  let prometheus: Prometheus
  let from: number

  beforeAll(async () => {
    traffic = await MixedTraffic.start()
    const target = (pod: 'enforcing' | 'reporting') => ({
      address: `127.0.0.1:${traffic[pod].port('metrics')}`,
      labels: { namespace: 'egress', pod: `gateway-${pod}` },
    })
    prometheus = await Prometheus.start(
      program ?? '',
      [target('enforcing'), target('reporting')],
      [join(CHART, 'alerts', '*.yaml')],
    )
    await waitFor(async () => ((await prometheus.query('sum(up) == 2')).length > 0 ? true : undefined), 'the first scrapes')
    from = Math.floor(Date.now() / 1000)
    for (let round = 0; round < ROUNDS; round++) {
      const started = performance.now()
      await traffic.round()
      // A scrape in between, so that counters are seen to move.
      await new Promise((resolve) => setTimeout(resolve, Math.max(0, 900 - (performance.now() - started))))
    }
  }, 90_000)

  afterAll(async () => {
    await prometheus?.stop()
    await traffic?.stop()
  })

  for (const { name, title, panels } of dashboards) {
    it(`answers every query of every panel of "${title}", each with a series`, async () => {
      const results: PanelResult[] = []
      const empty: { readonly panel: string; readonly expr: string }[] = []
      const to = Math.floor(Date.now() / 1000)
      for (const panel of panels) {
        const targets = (panel.targets ?? []).filter(({ datasource }) => datasource.type === 'prometheus')
        const answers = []
        for (const { expr, legendFormat = '', instant = false } of targets) {
          const samples = instant
            ? await prometheus.query(filledIn(expr))
            : await prometheus.queryRange(filledIn(expr), from, to, 1)
          const moving = samples.filter(({ value, values = [] }) =>
            [...values, ...(value ? [value] : [])].some(([, text]) => text !== 'NaN'),
          )
          if (moving.length === 0) empty.push({ panel: panel.title, expr })
          answers.push({ legend: legendFormat, samples: moving })
        }
        results.push({ ...panel, unit: panel.fieldConfig?.defaults.unit ?? 'none', answers })
      }
      const excused = panels.map((panel) => panel.title).filter((panel) => panel in EXPECTED_EMPTY)
      expect(empty.filter(({ panel }) => !(panel in EXPECTED_EMPTY))).toEqual([])
      expect(excused.filter((excuse) => !empty.some(({ panel }) => panel === excuse))).toEqual([])
      const folder = process.env['DRAW_PANELS']
      if (folder !== undefined) {
        mkdirSync(folder, { recursive: true })
        writeFileSync(join(folder, `dashboard-${name}.svg`), drawDashboard(title, results))
      }
    })
  }

  for (const { alert, expr } of rules) {
    it(`evaluates ${alert}`, async () => {
      await prometheus.query(expr)
    })
  }

  it('has loaded every alert, and none is in trouble', async () => {
    const loaded = await waitFor(async () => {
      const found = await prometheus.rules()
      return found.every(({ health }) => health !== 'unknown') ? found : undefined
    }, 'every rule to be evaluated')
    expect(loaded.map(({ name }) => name).toSorted()).toEqual(rules.map(({ alert }) => alert).toSorted())
    expect(loaded.filter(({ health }) => health !== 'ok')).toEqual([])
  })

  it.skipIf(promtool === undefined)('has a config and metrics that promtool takes', async () => {
    const config = await run('promtool', ['check', 'config', prometheus.configFile])
    expect(config.code, config.stdout + config.stderr).toBe(0)
    const exposition = await (await traffic.enforcing.ask('metrics', '/metrics')).text()
    const metrics = await run('promtool', ['check', 'metrics'], { input: exposition, cwd: ROOT })
    // Node's own defaults are not ours to name; promtool only lints those.
    const lint = metrics.stderr.split('\n').filter((line) => line.startsWith('sallyport_'))
    expect(lint).toEqual([])
  })
})

it('every metric of the gateway stands on a dashboard or in an alert', () => {
  const asked = JSON.stringify([dashboards, rules])
  const names = new Metrics().registry
    .getMetricsAsArray()
    .map(({ name }) => name)
    .filter((name) => name.startsWith('sallyport_'))
  expect(names.filter((name) => !asked.includes(name) && !(name in NOT_SHOWN))).toEqual([])
})
