import { describe, expect, it } from 'vitest'
import { configSchema } from '../../../src/core/config.ts'
import { lintExpiry } from '../../../src/core/policy/lint.ts'

function warningsOn(today: string, rule: Record<string, string>): readonly string[] {
  const config = configSchema.parse({ rules: [{ name: 'a', hosts: ['a.example.com'], ...rule }] })
  return lintExpiry(config, today).map(({ severity, path, message }) => `${severity} ${path.join('.')}: ${message}`)
}

const STAYS = 'it stays in force until it is taken out; take it out, or give it a new date'

describe('a rule with a date', () => {
  it.each([
    ['2027-03-31', '2027-02-28', []],
    ['2027-03-31', '2027-03-01', [`warning rules.0.expires: \`rule/a\` expires in 30 days, on 2027-03-31; ${STAYS}`]],
    ['2027-03-31', '2027-03-30', [`warning rules.0.expires: \`rule/a\` expires in 1 day, on 2027-03-31; ${STAYS}`]],
    ['2027-03-31', '2027-03-31', [`warning rules.0.expires: \`rule/a\` expires today; ${STAYS}`]],
    ['2027-03-31', '2027-04-01', [`warning rules.0.expires: \`rule/a\` expired on 2027-03-31; ${STAYS}`]],
  ])('that is %s is on %s told so', (expires, today, expected) => {
    expect(warningsOn(today, { expires })).toEqual(expected)
  })

  it('names whom to ask', () => {
    const [text] = warningsOn('2028-01-01', { expires: '2027-03-31', owner: 'ml-platform', ticket: 'OPS-12' })
    expect(text).toContain('expired on 2027-03-31 (owner `ml-platform`, ticket `OPS-12`); it stays')
  })

  it('is left alone without one', () => {
    expect(warningsOn('2028-01-01', { owner: 'ml-platform' })).toEqual([])
  })

  it.each(['2027-02-30', '2027-13-01', '31.3.2027', '2027-3-1', ''])('is refused with a day that there is not: %j', (expires) => {
    expect(configSchema.safeParse({ rules: [{ name: 'a', hosts: ['a.example.com'], expires }] }).success).toBe(false)
  })
})
