# Of BuildKit's plain progress the names of the steps and what they say, without numbers, times and sizes. Left out is
# what husk does not show (it reads no metadata of an image that is here) and what it says of its host.
/^#[0-9]* /!d
s/^#[0-9]* //
/^\(DONE\|CACHED\|transferring\|sha256:\|resolve\|exporting\|writing\|naming\|preparing\|sending\|copying\)/d
s/^[0-9.]* //
s/ [0-9.]*s$//
/^\[internal\] load metadata/d
/^WARN: /d
# BuildKit counts what a cache mount begins with as a stage.
s/^\[stage-0 /[/
