/** What the pages on Azure Monitor and on national clouds state. See doc-2026.ts. */

import type { StatedBlock } from './doc-2026.ts'

export const MONITOR_2026: readonly StatedBlock[] = [
  [
    'azure-monitor',
    'Application Insights telemetry ingestion',
    `
public | dc.applicationinsights.azure.com |  | 443
public | dc.applicationinsights.microsoft.com |  | 443
public | dc.services.visualstudio.com |  | 443
public | {region}.in.applicationinsights.azure.com |  | 443
`,
  ],
  [
    'azure-monitor',
    'Live Metrics',
    `
public | live.applicationinsights.azure.com |  | 443
public | rt.applicationinsights.microsoft.com |  | 443
public | rt.services.visualstudio.com |  | 443
public | {region}.livediagnostics.monitor.azure.com |  | 443
`,
  ],
  [
    'azure-monitor',
    'Application Insights agent configuration',
    `
public | management.core.windows.net |  | 443
public | management.azure.com |  | 443
public | login.windows.net |  | 443
public | login.microsoftonline.com |  | 443
public | secure.aadcdn.microsoftonline-p.com |  | 443
public | auth.gfx.ms |  | 443
public | login.live.com |  | 443
`,
  ],
  [
    'azure-monitor',
    'Application Insights agent installation',
    `
public | globalcdn.nuget.org |  | 443
public | packages.nuget.org |  | 443
public | api.nuget.org/v3/index.json |  | 443
public | nuget.org |  | 443
public | api.nuget.org |  | 443
public | dc.services.vsallin.net |  | 443
`,
  ],
  [
    'azure-monitor',
    'Logs query API: Application Insights',
    `
public | api.applicationinsights.io |  | 443
public | api1.applicationinsights.io |  | 443
public | api2.applicationinsights.io |  | 443
public | api3.applicationinsights.io |  | 443
public | api4.applicationinsights.io |  | 443
public | api5.applicationinsights.io |  | 443
public | api.applicationinsights.azure.com |  | 443
public | *.api.applicationinsights.azure.com |  | 443
`,
  ],
  [
    'azure-monitor',
    'Logs query API: Log Analytics',
    `
public | api.loganalytics.io |  | 443
public | *.api.loganalytics.io |  | 443
public | api.loganalytics.azure.com |  | 443
public | api.monitor.azure.com |  | 443
public | *.api.monitor.azure.com |  | 443
`,
  ],
  [
    'azure-monitor',
    'Azure Data Explorer',
    `
public | ade.loganalytics.io |  | 443
public | ade.applicationinsights.io |  | 443
public | adx.monitor.azure.com |  | 443
public | *.adx.monitor.azure.com |  | 443
public | *.adx.applicationinsights.azure.com |  | 443
public | adx.applicationinsights.azure.com |  | 443
public | adx.loganalytics.azure.com |  | 443
public | *.adx.loganalytics.azure.com |  | 443
`,
  ],
  [
    'azure-monitor',
    'Logs Ingestion API',
    `
public | *.ingest.monitor.azure.com |  | 443
public | prod.la.ingest.monitor.core.windows.NET |  | 443
public | *.prod.la.ingestion.msftcloudes.com |  | 443
public | prod.la.ingestion.msftcloudes.com |  | 443
public | *.prod.la.ingest.monitor.core.windows.NET |  | 443
`,
  ],
  [
    'azure-monitor',
    'Application Insights analytics',
    `
public | applicationanalytics.azureedge.net |  | 80,443
public | applicationanalyticsmedia.azureedge.net |  | 80,443
`,
  ],
  [
    'azure-monitor',
    'Log Analytics portal',
    `
public | portal.loganalytics.io |  | 443
`,
  ],
  [
    'azure-monitor',
    'App Insights portal extension',
    `
public | stamp2.app.insightsportal.visualstudio.com |  | 80,443
public | insightsportal-prod2-cdn.aisvc.visualstudio.com |  | 80,443
public | insightsportal-prod2-asiae-cdn.aisvc.visualstudio.com |  | 80,443
public | insightsportal-cdn-aimon.applicationinsights.io |  | 80,443
`,
  ],
  [
    'azure-monitor',
    'App Insights JS SDK CDN',
    `
public | az416426.vo.msecnd.net |  | 80,443
public | js.monitor.azure.com |  | 80,443
`,
  ],
  [
    'azure-monitor',
    'Profiler / Snapshot Debugger',
    `
public | agent.azureserviceprofiler.net |  | 443
public | *.agent.azureserviceprofiler.net |  | 443
public | profiler.monitor.azure.com |  | 443
public | snapshot.monitor.azure.com |  | 443
public | gateway.azureserviceprofiler.net |  | 443
public | dataplane.diagnosticservices.azure.com |  | 443
public | *.core.windows.net |  | 443
`,
  ],
  [
    'azure-monitor',
    'National clouds note',
    `
government | .us instead of .com |  | 
`,
  ],
  [
    'azure-monitor-2019',
    '2019 page: telemetry',
    `
public | dc.services.visualstudio.com |  | 443
public | dc.applicationinsights.microsoft.com |  | 443
`,
  ],
  [
    'azure-monitor-2019',
    '2019 page: live metrics',
    `
public | rt.services.visualstudio.com |  | 443
public | rt.applicationinsights.microsoft.com |  | 443
`,
  ],
  [
    'national-clouds',
    'Microsoft Entra authentication endpoint',
    `
public | login.microsoftonline.com |  | 
government | login.microsoftonline.us |  | 
china | login.partner.microsoftonline.cn |  | 
`,
  ],
  [
    'national-clouds',
    'Azure portal endpoint',
    `
public | portal.azure.com |  | 
government | portal.azure.us |  | 
china | portal.azure.cn |  | 
`,
  ],
  [
    'azure-government',
    'Public vs Government endpoint: Batch',
    `
public | *.batch.azure.com |  | 
government | *.batch.usgovcloudapi.net |  | 
`,
  ],
  [
    'azure-government',
    'Public vs Government endpoint: Container Registry suffix',
    `
public | *.azurecr.io |  | 
government | *.azurecr.us |  | 
`,
  ],
  [
    'azure-government',
    'Public vs Government endpoint: Key Vault',
    `
public | *.vault.azure.net |  | 
government | *.vault.usgovcloudapi.net |  | 
`,
  ],
  [
    'azure-government',
    'Public vs Government endpoint: Storage blob',
    `
public | *.blob.core.windows.net |  | 
government | *.blob.core.usgovcloudapi.net |  | 
`,
  ],
  [
    'azure-government',
    'Public vs Government endpoint: Storage queue',
    `
public | *.queue.core.windows.net |  | 
government | *.queue.core.usgovcloudapi.net |  | 
`,
  ],
  [
    'azure-government',
    'Public vs Government endpoint: Storage table',
    `
public | *.table.core.windows.net |  | 
government | *.table.core.usgovcloudapi.net |  | 
`,
  ],
  [
    'azure-government',
    'Public vs Government endpoint: Storage file',
    `
public | *.file.core.windows.net |  | 
government | *.file.core.usgovcloudapi.net |  | 
`,
  ],
  [
    'azure-government',
    'Public vs Government endpoint: Azure AD',
    `
public | login.microsoftonline.com |  | 
government | login.microsoftonline.us |  | 
`,
  ],
]
