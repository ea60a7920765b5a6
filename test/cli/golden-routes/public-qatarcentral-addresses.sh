# qatarcentral (Qatar Central) has no paired region: there is one set of addresses of Azure ML
# addresses of change 375 of the service tags; they change: `sallyport routes --diff OLD NEW` says what a newer file changes
# IPv6 ranges are left out; `--ipv6` adds them
# only for compute with public IP: say `--compute public-ip` to get the rules of its security group too, or `--compute no-public-ip`
az network route-table route create -g MyResourceGroup --route-table-name MyRouteTable -n AzureMachineLearning-QatarCentral-4.171.27.64-27 --address-prefix 4.171.27.64/27 --next-hop-type Internet
az network route-table route create -g MyResourceGroup --route-table-name MyRouteTable -n AzureMachineLearning-QatarCentral-4.171.27.160-28 --address-prefix 4.171.27.160/28 --next-hop-type Internet
az network route-table route create -g MyResourceGroup --route-table-name MyRouteTable -n AzureMachineLearning-QatarCentral-20.21.33.0-27 --address-prefix 20.21.33.0/27 --next-hop-type Internet
az network route-table route create -g MyResourceGroup --route-table-name MyRouteTable -n AzureMachineLearning-QatarCentral-20.21.83.64-27 --address-prefix 20.21.83.64/27 --next-hop-type Internet
az network route-table route create -g MyResourceGroup --route-table-name MyRouteTable -n BatchNodeManagement-QatarCentral-20.21.33.32-27 --address-prefix 20.21.33.32/27 --next-hop-type Internet
