import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { ROOT } from '../support/helm.ts'
import { itWith } from '../support/program.ts'
import { run } from '../support/run.ts'

const read = (name: string) => readFileSync(join(ROOT, name), 'utf8')
const RULES = 'helm/alerts/sallyport.yaml'
const TESTS = ['test/deploy/alerts.promtool.yaml', 'test/deploy/alerts-over-weeks.promtool.yaml']

interface Rule {
  readonly alert: string
  readonly expr: string
  readonly labels: { readonly severity: string }
  readonly annotations: Readonly<Record<string, string>>
}
const rules: readonly Rule[] = parse(read(RULES)).groups.flatMap(({ rules }: { rules: Rule[] }) => rules)

describe('the alerts', () => {
  itWith('promtool', 'prometheus')('are rules that Prometheus takes', async () => {
    const { code, stdout, stderr } = await run('promtool', ['check', 'rules', '--lint-fatal', RULES], { cwd: ROOT })
    expect(code, stdout + stderr).toBe(0)
  })

  for (const file of TESTS) {
    itWith('promtool', 'prometheus')(`fire when they should and only then: ${file}`, async () => {
      const { code, stdout, stderr } = await run('promtool', ['test', 'rules', file], { cwd: ROOT, deadlineMs: 60_000 })
      expect(code, stdout + stderr).toBe(0)
    })
  }

  it('are all tested, each with a case where it fires and one where it does not', () => {
    const cases = TESTS.flatMap((file) => parse(read(file)).tests).flatMap(({ alert_rule_test }) => alert_rule_test)
    const fired = new Set(cases.filter(({ exp_alerts }) => exp_alerts.length > 0).map(({ alertname }) => alertname))
    const quiet = new Set(cases.filter(({ exp_alerts }) => exp_alerts.length === 0).map(({ alertname }) => alertname))
    expect(rules.map(({ alert }) => alert).filter((alert) => !fired.has(alert))).toEqual([])
    // Where an alert fires for one namespace, the others in the same case are where it does not.
    const besides = ['SallyportDnsFailures', 'SallyportSetupSlow']
    expect(rules.map(({ alert }) => alert).filter((alert) => !quiet.has(alert) && !besides.includes(alert))).toEqual([])
  })

  for (const { alert, labels, annotations } of rules) {
    it(`${alert} says what it is, what it means, and leads to a section of the runbook`, () => {
      expect(labels.severity).toMatch(/^(critical|warning|info)$/)
      expect(annotations['summary']).toMatch(/\S/)
      expect(annotations['description']).toMatch(/\S/)
      expect(annotations['runbook_url']).toBe(`docs/operations.md#${alert.toLowerCase()}`)
      expect(read('docs/operations.md')).toMatch(new RegExp(`^### ${alert}$`, 'm'))
    })
  }

  it('ask only for metrics that the gateway, Prometheus or Node has', () => {
    const known = new Set(
      [...read('src/io/telemetry/metrics.ts').matchAll(/'([a-z_]+)',?\s*\n?\s*'/g)].map(([, name]) => `sallyport_${name}`),
    )
    const asked = new Set(rules.flatMap(({ expr }) => expr.match(/\b(sallyport|process|nodejs)_[a-z_]+/g) ?? []))
    const missing = [...asked].filter(
      (name) => name.startsWith('sallyport_') && !known.has(name.replace(/_(bucket|count|sum)$/, '')),
    )
    expect(missing).toEqual([])
  })

  it('are the same in the form that Azure wants', () => {
    const { resources } = JSON.parse(read('deploy/azure/prometheus-rule-groups.json'))
    const exported = resources.flatMap(
      ({ properties }: { properties: { rules: { alert: string; expression: string }[] } }) => properties.rules,
    )
    expect(exported.map(({ alert, expression }: { alert: string; expression: string }) => [alert, expression])).toEqual(
      rules.map(({ alert, expr }) => [alert, expr]),
    )
  })
})
