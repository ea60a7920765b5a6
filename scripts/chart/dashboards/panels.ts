import type { Builder, Dataquery } from '@grafana/grafana-foundation-sdk/cog'
import {
  BigValueColorMode,
  BigValueGraphMode,
  BigValueTextMode,
  type DataSourceRef,
  GraphDrawStyle,
  LegendDisplayMode,
  LegendPlacement,
  ReduceDataOptionsBuilder,
  SortOrder,
  StackingConfigBuilder,
  StackingMode,
  TooltipDisplayMode,
  VizLegendOptionsBuilder,
  VizTooltipOptionsBuilder,
} from '@grafana/grafana-foundation-sdk/common'
import {
  type Dashboard,
  DashboardBuilder,
  DashboardLinkBuilder,
  DashboardLinkType,
  DatasourceVariableBuilder,
  type Panel,
  QueryVariableBuilder,
  RowBuilder,
  ThresholdsConfigBuilder,
  ThresholdsMode,
  VariableRefresh,
  VariableSort,
} from '@grafana/grafana-foundation-sdk/dashboard'
import { DataqueryBuilder, PromQueryFormat } from '@grafana/grafana-foundation-sdk/prometheus'
import { PanelBuilder as StatBuilder } from '@grafana/grafana-foundation-sdk/stat'
import { PanelBuilder as TableBuilder } from '@grafana/grafana-foundation-sdk/table'
import { PanelBuilder as TimeseriesBuilder } from '@grafana/grafana-foundation-sdk/timeseries'

/** What the dashboards have in common: variables, and panels that always have a description, a unit and a place. */

const PROMETHEUS: DataSourceRef = { type: 'prometheus', uid: '$datasource' }

/** The series of the gateways chosen in the variables. On virtual machines there is no such label, and `.*` matches that too. */
export const CHOSEN = 'namespace=~"$namespace",pod=~"$pod"'

/** What a panel asks. */
export interface Query {
  readonly expr: string
  /** Grafana's template for the name of a series. */
  readonly legend?: string
}

export interface PanelSpec {
  readonly title: string
  /** For whoever opens it at 3 a.m.: what it shows, and what to do when it looks wrong. */
  readonly description: string
  /** Grafana's id of a unit. */
  readonly unit: string
  /** Of 24. */
  readonly width: number
  readonly queries: readonly Query[]
}

/**
 * How often something was counted within the range shown. A counter with labels appears with its first event already in it, which
 * `increase` would miss: such a series counts whole.
 */
export function countWithin(metric: string, labels = CHOSEN): string {
  return `(${metric}{${labels}} unless ${metric}{${labels}} offset $__range or increase(${metric}{${labels}}[$__range]))`
}

export function perSecond(metric: string, labels = CHOSEN): string {
  return `rate(${metric}{${labels}}[$__rate_interval])`
}

export function graph(spec: PanelSpec & { readonly stacked?: boolean; readonly max?: number }): Builder<Panel> {
  const panel = new TimeseriesBuilder()
    .title(spec.title)
    .description(spec.description)
    .datasource(PROMETHEUS)
    .unit(spec.unit)
    .min(0)
    .span(spec.width)
    .height(8)
    .drawStyle(GraphDrawStyle.Line)
    .fillOpacity(spec.stacked === true ? 40 : 10)
    .lineWidth(1)
    .legend(
      new VizLegendOptionsBuilder()
        .showLegend(true)
        .displayMode(LegendDisplayMode.List)
        .placement(LegendPlacement.Bottom)
        .calcs([]),
    )
    .tooltip(new VizTooltipOptionsBuilder().mode(TooltipDisplayMode.Multi).sort(SortOrder.Descending))
    .targets(spec.queries.map((query, index) => target(query, index).range()))
  if (spec.stacked === true) panel.stacking(new StackingConfigBuilder().mode(StackingMode.Normal).group('A'))
  if (spec.max !== undefined) panel.max(spec.max)
  return panel
}

/** A step of a threshold: from this value on, this colour. */
export type Step = readonly [from: number | null, colour: string]

export interface FigureSpec extends PanelSpec {
  readonly steps?: readonly Step[]
  /** Words for values, as `{ 1: 'current' }`. */
  readonly words?: Readonly<Record<string, string>>
  /** Show the series' name instead of its value. */
  readonly named?: boolean
}

export function figure(spec: FigureSpec): Builder<Panel> {
  const steps = spec.steps ?? [[null, 'text']]
  const panel = new StatBuilder()
    .title(spec.title)
    .description(spec.description)
    .datasource(PROMETHEUS)
    .unit(spec.unit)
    .span(spec.width)
    .height(4)
    .graphMode(BigValueGraphMode.None)
    .colorMode(BigValueColorMode.Value)
    .textMode(spec.named === true ? BigValueTextMode.Name : BigValueTextMode.Auto)
    .reduceOptions(new ReduceDataOptionsBuilder().calcs(['lastNotNull']).fields('').values(false))
    .thresholds(
      new ThresholdsConfigBuilder().mode(ThresholdsMode.Absolute).steps(steps.map(([value, color]) => ({ value, color }))),
    )
    .targets(spec.queries.map((query, index) => target(query, index).instant()))
  if (spec.words !== undefined) {
    const options = Object.fromEntries(Object.entries(spec.words).map(([value, text]) => [value, { text }]))
    panel.mappings([{ type: 'value', options }] as never)
  }
  return panel
}

export interface TableSpec extends PanelSpec {
  /** Labels in the order of their columns, and their headings. */
  readonly columns: Readonly<Record<string, string>>
  /** Heading of the value. */
  readonly value: string
}

export function table(spec: TableSpec): Builder<Panel> {
  const names = Object.keys(spec.columns)
  return new TableBuilder()
    .title(spec.title)
    .description(spec.description)
    .datasource(PROMETHEUS)
    .unit(spec.unit)
    .decimals(0)
    .span(spec.width)
    .height(9)
    .targets(spec.queries.map((query, index) => target(query, index).instant().format(PromQueryFormat.Table)))
    .transformations([
      {
        id: 'organize',
        options: {
          excludeByName: { Time: true },
          indexByName: Object.fromEntries([...names, 'Value'].map((name, index) => [name, index])),
          renameByName: { ...spec.columns, Value: spec.value },
        },
      },
    ])
}

/** Grafana links to a panel by its number, so each gets one that lasts. */
export function numbered(board: Dashboard): Dashboard {
  let id = 0
  for (const panel of board.panels ?? []) {
    panel.id = ++id
    if ('panels' in panel) for (const inner of panel.panels) inner.id = ++id
  }
  return board
}

export function row(title: string): RowBuilder {
  return new RowBuilder(title)
}

export function dashboard(uid: string, title: string, description: string): DashboardBuilder {
  return new DashboardBuilder(title)
    .uid(uid)
    .description(description)
    .tags(['sallyport', 'egress'])
    .time({ from: 'now-6h', to: 'now' })
    .refresh('1m')
    .timezone('browser')
    .readonly()
    .link(
      new DashboardLinkBuilder('Sallyport')
        .type(DashboardLinkType.Dashboards)
        .tags(['sallyport'])
        .asDropdown(false)
        .keepTime(true)
        .includeVars(true),
    )
    .withVariable(new DatasourceVariableBuilder('datasource').label('Data source').type('prometheus'))
    .withVariable(labelVariable('namespace', 'Namespace', 'label_values(sallyport_build_info, namespace)'))
    .withVariable(labelVariable('pod', 'Pod', 'label_values(sallyport_build_info{namespace=~"$namespace"}, pod)'))
}

function labelVariable(name: string, label: string, query: string): QueryVariableBuilder {
  return new QueryVariableBuilder(name)
    .label(label)
    .datasource(PROMETHEUS)
    .query(query)
    .refresh(VariableRefresh.OnTimeRangeChanged)
    .sort(VariableSort.AlphabeticalAsc)
    .multi(true)
    .includeAll(true)
    .allValue('.*')
    .current({ selected: true, text: 'All', value: '$__all' })
}

function target({ expr, legend = '' }: Query, index: number): DataqueryBuilder & Builder<Dataquery> {
  return new DataqueryBuilder()
    .refId(String.fromCharCode(65 + index))
    .expr(expr)
    .legendFormat(legend)
    .datasource(PROMETHEUS)
}
