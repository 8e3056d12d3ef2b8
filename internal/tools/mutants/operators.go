package main

import (
	"go/ast"
	"go/constant"
	"go/token"
	"go/types"
	"strings"
)

// operator makes one kind of mistake. It returns the mistakes of that kind that
// a node allows, without those in the nodes below.
type operator struct {
	name string
	find func(f *function, n ast.Node) []change
}

// change is a mistake: it replaces parts of the source.
type change struct {
	edits    []edit
	old, new string    // what a reader sees
	at       token.Pos // what runs only if the mistake is reached
}

type edit struct {
	from, to token.Pos
	text     string
}

// operators are all kinds of mistakes, in the order of the page.
var operators = []operator{
	{"comparison", comparisons},
	{"logic", logic},
	{"negation", negations},
	{"arithmetic", arithmetic},
	{"constant", constants},
	{"argument", arguments},
	{"statement", statements},
	{"branch", branches},
	{"error", errorsReturned},
	{"sentinel", sentinels},
	{"lock", locks},
}

// replace returns the change of one node's source.
func (f *function) replace(n ast.Node, text string) change {
	return change{edits: []edit{{n.Pos(), n.End(), text}}, old: f.text(n), new: text, at: n.Pos()}
}

// token returns the change of a token within a node.
func (f *function) token(n ast.Node, at token.Pos, old, text string) change {
	whole, from := f.text(n), int(at-n.Pos())
	return change{
		edits: []edit{{at, at + token.Pos(len(old)), text}},
		old:   whole, new: whole[:from] + text + whole[from+len(old):], at: at,
	}
}

// compared has the bound moved by one, and the opposite.
var compared = map[token.Token][]string{
	token.LSS: {"<=", ">="}, token.LEQ: {"<", ">"}, token.GTR: {">=", "<="}, token.GEQ: {">", "<"},
	token.EQL: {"!="}, token.NEQ: {"=="},
}

// comparisons flips comparisons and moves their bounds.
func comparisons(f *function, n ast.Node) (out []change) {
	if b, ok := n.(*ast.BinaryExpr); ok {
		for _, text := range compared[b.Op] {
			out = append(out, f.token(b, b.OpPos, b.Op.String(), text))
		}
	}
	return out
}

// logic exchanges "and" and "or", and leaves out each operand.
func logic(f *function, n ast.Node) []change {
	b, ok := n.(*ast.BinaryExpr)
	if !ok || b.Op != token.LAND && b.Op != token.LOR {
		return nil
	}
	other := map[token.Token]string{token.LAND: "||", token.LOR: "&&"}[b.Op]
	return []change{f.token(b, b.OpPos, b.Op.String(), other), f.replace(b, "("+f.text(b.X)+")"), f.replace(b, "("+f.text(b.Y)+")")}
}

// negations negates conditions other than comparisons.
func negations(f *function, n ast.Node) (out []change) {
	negate := func(list ...ast.Expr) {
		for _, e := range list {
			switch e.(type) {
			case *ast.Ident, *ast.CallExpr, *ast.SelectorExpr, *ast.IndexExpr:
				if text := f.text(e); f.isBool(e) && text != "true" && text != "false" {
					out = append(out, f.replace(e, "!"+text))
				}
			}
		}
	}
	switch n := n.(type) {
	case *ast.UnaryExpr:
		if n.Op == token.NOT {
			out = append(out, f.replace(n, f.text(n.X)))
		}
	case *ast.IfStmt:
		negate(n.Cond)
	case *ast.ForStmt:
		negate(n.Cond)
	case *ast.ReturnStmt:
		negate(n.Results...)
	case *ast.BinaryExpr:
		if n.Op == token.LAND || n.Op == token.LOR {
			negate(n.X, n.Y)
		}
	case *ast.SwitchStmt:
		if n.Tag == nil {
			for _, c := range n.Body.List {
				negate(c.(*ast.CaseClause).List...)
			}
		}
	}
	return out
}

var computed = map[token.Token]string{
	token.ADD: "-", token.SUB: "+", token.MUL: "/", token.QUO: "*", token.REM: "*",
	token.SHL: ">>", token.SHR: "<<", token.AND: "|", token.OR: "&",
	token.ADD_ASSIGN: "-=", token.SUB_ASSIGN: "+=", token.INC: "--", token.DEC: "++",
}

// arithmetic exchanges operators on numbers, and min and max.
func arithmetic(f *function, n ast.Node) []change {
	switch n := n.(type) {
	case *ast.BinaryExpr:
		if text := computed[n.Op]; text != "" && f.isNumber(n.X) {
			return []change{f.token(n, n.OpPos, n.Op.String(), text)}
		}
	case *ast.AssignStmt:
		if text := computed[n.Tok]; text != "" && f.isNumber(n.Lhs[0]) {
			return []change{f.token(n, n.TokPos, n.Tok.String(), text)}
		}
	case *ast.IncDecStmt:
		return []change{f.token(n, n.TokPos, n.Tok.String(), computed[n.Tok])}
	case *ast.CallExpr:
		if id, ok := n.Fun.(*ast.Ident); ok {
			if other := map[string]string{"min": "max", "max": "min"}[id.Name]; other != "" {
				return []change{f.token(n, n.Pos(), id.Name, other)}
			}
		}
	}
	return nil
}

// constants replaces a number by the next one, a text by another, true by false.
// A text with a space is for people: no rule is about its words.
func constants(f *function, n ast.Node) []change {
	switch n := n.(type) {
	case *ast.BasicLit:
		switch {
		case n.Kind == token.INT:
			return []change{f.replace(n, "("+n.Value+"+1)")}
		case n.Value == `""`:
			return []change{f.replace(n, `"?"`)}
		case n.Kind == token.STRING && !strings.Contains(n.Value, " "):
			return []change{f.replace(n, `""`)}
		}
	case *ast.Ident:
		c, ok := f.pkg.info.Uses[n].(*types.Const)
		switch {
		case !ok:
		case n.Name == "true" && f.isBool(n):
			return []change{f.replace(n, "false")}
		case n.Name == "false" && f.isBool(n):
			return []change{f.replace(n, "true")}
		case c.Pkg() != f.pkg.types: // of another package: a sentinel, a mode
		case isBasic(c.Type(), types.IsNumeric):
			return []change{f.replace(n, "("+n.Name+"+1)")}
		case isBasic(c.Type(), types.IsString) && !strings.Contains(constant.StringVal(c.Val()), " "):
			return []change{f.replace(n, "("+n.Name+`+"?")`)}
		}
	}
	return nil
}

// arguments swaps neighbours of the same type.
func arguments(f *function, n ast.Node) (out []change) {
	call, ok := n.(*ast.CallExpr)
	if !ok {
		return nil
	}
	if id, ok := call.Fun.(*ast.Ident); ok && (id.Name == "min" || id.Name == "max") {
		return nil
	}
	for i := 1; i < len(call.Args); i++ {
		a, b := call.Args[i-1], call.Args[i]
		x, y := f.pkg.info.TypeOf(a), f.pkg.info.TypeOf(b)
		if x == nil || y == nil || !types.Identical(types.Default(x), types.Default(y)) || f.text(a) == f.text(b) {
			continue
		}
		old := f.text(call)
		head, tail := old[:a.Pos()-call.Pos()], old[b.End()-call.Pos():]
		out = append(out, change{
			edits: []edit{{a.Pos(), a.End(), f.text(b)}, {b.Pos(), b.End(), f.text(a)}},
			old:   old, new: head + f.text(b) + ", " + f.text(a) + tail, at: call.Pos(),
		})
	}
	return out
}

// statements drops what returns nothing. What is alone in a branch is left to
// branches.
func statements(f *function, n ast.Node) (out []change) {
	var list []ast.Stmt
	switch n := n.(type) {
	case *ast.BlockStmt:
		list = n.List
	case *ast.CaseClause:
		list = n.Body
	case *ast.CommClause:
		list = n.Body
	}
	_, alone := f.branches[n]
	for _, s := range list {
		if alone && len(list) == 1 {
			continue
		}
		switch s := s.(type) {
		case *ast.AssignStmt:
			if s.Tok == token.DEFINE {
				continue
			}
		case *ast.ExprStmt, *ast.IncDecStmt, *ast.DeferStmt, *ast.GoStmt, *ast.BranchStmt, *ast.SendStmt:
		default:
			continue
		}
		c := f.replace(s, f.uses(s))
		c.new = ""
		out = append(out, c)
	}
	return out
}

// branches leaves out what an if, an else or a case does.
func branches(f *function, n ast.Node) (out []change) {
	empty := func(cond ast.Node, list []ast.Stmt) {
		if len(list) == 0 {
			return
		}
		from, to := list[0].Pos(), list[len(list)-1].End()
		uses := make([]ast.Node, 0, len(list))
		for _, s := range list {
			uses = append(uses, s)
		}
		old := f.between(from, to)
		if cond != nil {
			old = f.text(cond) + " { " + old + " }"
		}
		out = append(out, change{edits: []edit{{from, to, f.uses(uses...)}}, old: old, at: from})
	}
	switch n := n.(type) {
	case *ast.IfStmt:
		empty(n.Cond, n.Body.List)
		if block, ok := n.Else.(*ast.BlockStmt); ok {
			empty(nil, block.List)
		}
	case *ast.CaseClause:
		if len(n.List) > 0 {
			empty(n.List[0], n.Body)
		} else {
			empty(nil, n.Body)
		}
	}
	return out
}

// errorsReturned returns nil for an error, and an error for nil.
func errorsReturned(f *function, n ast.Node) []change {
	ret, ok := n.(*ast.ReturnStmt)
	if !ok || len(ret.Results) == 0 {
		return nil
	}
	last := ret.Results[len(ret.Results)-1]
	results := f.results(ret)
	if results == nil || results.Len() != len(ret.Results) || !isError(results.At(results.Len()-1).Type()) {
		return nil
	}
	text := "nil"
	if f.text(last) == "nil" {
		text = "errMutant"
	}
	c := f.replace(last, text)
	if text == "nil" {
		c.edits[0].text = "error(nil)"
		if uses := f.uses(last); uses != "" {
			c.edits = append([]edit{{ret.Pos(), ret.Pos(), uses + "; "}}, c.edits...)
		}
	}
	whole := f.text(ret)
	c.old, c.new = whole, whole[:last.Pos()-ret.Pos()]+text
	return []change{c}
}

// sentinels exchanges the sentinel errors of package model.
func sentinels(f *function, n ast.Node) []change {
	sel, ok := n.(*ast.SelectorExpr)
	if !ok || !strings.HasPrefix(sel.Sel.Name, "Err") {
		return nil
	}
	if pkg, ok := sel.X.(*ast.Ident); !ok || pkg.Name != "model" {
		return nil
	}
	if sel.Sel.Name == "ErrNotFound" {
		return []change{f.replace(sel, "model.ErrConflict")}
	}
	return []change{f.replace(sel, "model.ErrNotFound")}
}

// locks leaves out a lock together with its release in the same block.
func locks(f *function, n ast.Node) (out []change) {
	block, ok := n.(*ast.BlockStmt)
	if !ok {
		return nil
	}
	for i, s := range block.List {
		lock, read := strings.CutSuffix(f.text(s), ".RLock()")
		if !read {
			if lock, ok = strings.CutSuffix(f.text(s), ".Lock()"); !ok {
				continue
			}
		}
		release := lock + map[bool]string{true: ".RUnlock()", false: ".Unlock()"}[read]
		for _, later := range block.List[i+1:] {
			if text := f.text(later); text == release || text == "defer "+release {
				c := f.replace(s, "")
				c.edits = append(c.edits, edit{later.Pos(), later.End(), ""})
				c.old += " … " + text
				out = append(out, c)
				break
			}
		}
	}
	return out
}
