//go:build !unix

package main

import "os"

// peak returns 0: the system does not report it.
func peak(*os.ProcessState) float64 { return 0 }

// ownTime returns 0: the system does not report it.
func ownTime() float64 { return 0 }
