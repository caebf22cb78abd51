// Command reader checks what a log gives out, by code that shares nothing with it: the Go checksum database's Merkle
// tree, the transparency-dev formats and proofs, and go-cose. It prints one JSON object, or says what is wrong and ends
// with 1.
//
//	reader log     URL VKEY TOKEN OLDER-CHECKPOINT INDEX...
//	reader proof   VKEY TLOG-PROOF ENTRY
//	reader receipt VKEY RECEIPT ENTRY
//
// TOKEN is the text of a bearer token for entries, the rest that is not URL, VKEY or INDEX are files.
package main

import (
	"encoding/json"
	"fmt"
	"os"
)

func main() {
	commands := map[string]func(args []string) (any, error){
		"log":     readLog,
		"proof":   readProof,
		"receipt": readReceipt,
	}
	if len(os.Args) < 2 || commands[os.Args[1]] == nil {
		fail(fmt.Errorf("usage: reader log|proof|receipt ..."))
	}
	result, err := commands[os.Args[1]](os.Args[2:])
	if err != nil {
		fail(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(result); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "reader:", err)
	os.Exit(1)
}

// arguments checks the count of arguments; more may follow when exact is false.
func arguments(args []string, count int, exact bool) error {
	if len(args) < count || exact && len(args) > count {
		return fmt.Errorf("%d arguments are needed, there are %d", count, len(args))
	}
	return nil
}
