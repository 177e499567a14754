package inventory

import (
	"errors"
	"slices"
)

// ErrRetryable marks failures that another run may cure.
//
// They are timeouts, failed connections, and answers such as 429 and 503. errors.Is finds
// the mark; its text is in no message.
var ErrRetryable = errors.New("another run may succeed")

// Retryable returns err with the mark ErrRetryable.
func Retryable(err error) error { return &retryable{err} }

// RetryableAs returns err with the mark ErrRetryable if one of the causes has it.
//
// It is for errors that repeat only the text of their causes.
func RetryableAs(err error, causes ...error) error {
	if slices.ContainsFunc(causes, func(cause error) bool { return errors.Is(cause, ErrRetryable) }) {
		return Retryable(err)
	}
	return err
}

// retryable is an error with the mark.
type retryable struct{ error }

func (*retryable) Is(target error) bool { return target == ErrRetryable }

func (e *retryable) Unwrap() error { return e.error }
