// Stands in for the two packages that the witness uses of it.
module github.com/transparency-dev/merkle

go 1.25.0

require golang.org/x/mod v0.40.0
