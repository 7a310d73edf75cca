# BuildKit's names of its snapshots, new with each build
s/failed to calculate checksum of ref [^ ]*: //
