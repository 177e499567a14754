package importer

import (
	"regexp/syntax"
	"strings"
)

// maxTags is the maximum number of tags that replace a pattern. A pattern with more is
// meant as a rule, and most of the tags would not exist.
const maxTags = 16

// Marks for the begin and the end of the text. No tag contains them.
const (
	beginMark = "\x02"
	endMark   = "\x03"
)

// finite returns the tags that a regular expression matches, if they are few.
//
// exact is false if the expression also matches other texts: people write 1.10 without
// escaping the dot, and mean the tag. An expression that is not anchored matches any
// number of tags.
func finite(pattern string) (tags []string, exact, ok bool) {
	re, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return nil, false, false
	}
	e := &expansion{exact: true}
	texts, ok := e.expand(re)
	if !ok {
		return nil, false, false
	}
	for _, text := range texts {
		tag := strings.TrimRight(strings.TrimLeft(text, beginMark), endMark)
		if !strings.HasPrefix(text, beginMark) || !strings.HasSuffix(text, endMark) || strings.ContainsAny(tag, beginMark+endMark) {
			return nil, false, false
		}
		tags = append(tags, tag)
	}
	return tags, e.exact, true
}

// expansion lists the texts that a regular expression matches.
type expansion struct{ exact bool }

// expand returns the texts that re matches, or false if there are too many.
func (e *expansion) expand(re *syntax.Regexp) ([]string, bool) {
	switch re.Op {
	case syntax.OpEmptyMatch:
		return []string{""}, true
	case syntax.OpBeginText, syntax.OpBeginLine:
		return []string{beginMark}, true
	case syntax.OpEndText, syntax.OpEndLine:
		return []string{endMark}, true
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		e.exact = false
		return []string{"."}, true
	case syntax.OpLiteral:
		return []string{string(re.Rune)}, re.Flags&syntax.FoldCase == 0
	case syntax.OpCharClass:
		return characters(re.Rune)
	case syntax.OpCapture:
		return e.expand(re.Sub[0])
	case syntax.OpQuest:
		texts, ok := e.expand(re.Sub[0])
		return append([]string{""}, texts...), ok
	case syntax.OpAlternate:
		return e.either(re.Sub)
	case syntax.OpConcat:
		return e.sequence(re.Sub)
	}
	return nil, false
}

// characters returns the characters of a class, which is a list of ranges.
func characters(ranges []rune) ([]string, bool) {
	var all []string
	for i := 0; i+1 < len(ranges); i += 2 {
		if int(ranges[i+1]-ranges[i])+1+len(all) > maxTags {
			return nil, false
		}
		for c := ranges[i]; c <= ranges[i+1]; c++ {
			all = append(all, string(c))
		}
	}
	return all, true
}

// either returns the texts that one of several expressions matches.
func (e *expansion) either(subs []*syntax.Regexp) ([]string, bool) {
	var all []string
	for _, sub := range subs {
		texts, ok := e.expand(sub)
		if all = append(all, texts...); !ok || len(all) > maxTags {
			return nil, false
		}
	}
	return all, true
}

// sequence returns the texts that several expressions match one after the other.
func (e *expansion) sequence(subs []*syntax.Regexp) ([]string, bool) {
	all := []string{""}
	for _, sub := range subs {
		texts, ok := e.expand(sub)
		if !ok || len(all)*len(texts) > maxTags {
			return nil, false
		}
		next := make([]string, 0, len(all)*len(texts))
		for _, before := range all {
			for _, after := range texts {
				next = append(next, before+after)
			}
		}
		all = next
	}
	return all, true
}
